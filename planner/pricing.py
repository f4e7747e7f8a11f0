"""The factors of one number of workers: time, memory and tasks over named axes.

What is costly is kept for as long as it holds: op times by microbatch, the work of lanes and links
by placement and algorithm whatever the microbatch, unless measured ops make an addition cost more
in a longer step. Index letters: B buckets of a cut, K algorithms and numbers of landing slots.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.units import Ints
from planner.algorithms import name_at
from planner.calls import StepCalls
from planner.collectives.base import Prices
from planner.cost import books_of, exchange_cost, exchange_work, rounds_of
from planner.crossings import Routes
from planner.exchange_work import Work
from planner.factors import Factor
from planner.landings import arrivals, landing_widths, landings_of
from planner.memory import landing_top
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import UpdateTimes, exchange_prices, transfer_prices
from planner.plan import Plan, Verdict, verdict
from planner.registers import ALIGNMENT_BYTES
from planner.shapes import meets
from planner.shared_prices import Key, Shared
from planner.space import Stripe
from planner.step_times import Exchanges, OneExchange, Waits

BOUND_AXES = (
    "placement",
    "algorithm",
    "bucket_bytes",
    "overlap",
    "landing_slots",
    "input_slots",
    "activation_slots",
)


AT_ONCE = 16
"""Microbatches whose bounds are worked out together: arrays stay small."""


def _alike(keys: Sequence[int]) -> list[list[int]]:
    """Return the places of equal keys."""
    found: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return list(found.values())


@dataclass(kw_only=True)
class StripePrices:
    """Prices of the plans of one number of workers."""

    shared: Shared
    stripe: Stripe
    exchanges: dict[Key, Exchanges] = field(default_factory=dict)
    works: dict[Key, Work | None] = field(default_factory=dict)
    waits: dict[Key, Waits] = field(default_factory=dict)
    routes: dict[tuple[int, ...], Routes] = field(default_factory=dict)
    prices: dict[Key, Prices] = field(default_factory=dict)
    costs: dict[Key, Callable[[int], int]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    """Microbatches that fit, as far as anybody asked."""
    known_bounds: dict[int, Factor] = field(default_factory=dict)
    told: Callable[[int, int], None] = lambda done, total: None
    """Told how many exchanges are priced, of how many."""

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster as so many workers find it."""
        return self.shared.machine.cluster(self.stripe.workers)

    @cached_property
    def all_books(self) -> Mapping[str, CostBook]:
        """Cost books by name of device."""
        return self.shared.machine.books(self.stripe.workers)

    def plan(self, microbatch: int) -> Plan:
        """Return the first plan with this microbatch."""
        return replace(self.stripe.plan(0), microbatch=microbatch)

    def verdict(self, microbatch: int) -> Verdict:
        """Return the verdict of all plans with this microbatch, memory and time apart."""
        shared = self.shared
        return verdict(shared.model, shared.training, self.plan(microbatch), self.cluster)

    def factors(self, microbatch: int) -> dict[str, Factor]:
        """Return the factors of memory and tasks of the plans with this microbatch."""
        self.asked.append(microbatch)
        plan, slots = self.plan(microbatch), ("input_slots", "activation_slots")
        exchange = ("algorithm", "bucket_bytes")
        own = {
            "own_bytes": self._over(slots[:1], partial(self._own_bytes, plan)),
            "frame_bytes": self._over((), lambda: self.shared.memory_of(plan).frame_bytes),
            "landing_top": self._landing_tops(plan),
            "spare_slots": self._over(slots, partial(self._spare_slots, plan)),
            "tasks": self._over(exchange, partial(self._tasks, plan)),
        }
        return own | self._any_microbatch

    @cached_property
    def _any_microbatch(self) -> dict[str, Factor]:
        """Factors that do not depend on the microbatch."""
        return {
            "memory_bytes": self._over(("placement",), self._memory_bytes),
            "misplaced": self._over(("placement", "algorithm"), self._misplaced),
            "spare_landing": self._over(("algorithm", "landing_slots"), self._spare_landing),
            "spare_overlap": self._over(("bucket_bytes", "overlap"), self._spare_overlap),
        }

    def _over(self, axes: Sequence[str], value: Callable[..., int]) -> Factor:
        return Factor.over(self.stripe.axes, axes, value)

    # Memory: the factors of planner.memory, composed for every row

    def is_too_large(self, microbatch: int, limit_bytes: int) -> bool:
        """Whether no plan with this microbatch fits, as smaller ones tell without packing it."""
        if self._any_microbatch["misplaced"].table.any():
            return False  # those have another verdict
        plan = replace(self.plan(microbatch), input_slots=min(self.stripe.axes["input_slots"]))
        room_bytes = min(limit_bytes, int(self._any_microbatch["memory_bytes"].table.max()))
        return self.shared.least_bytes(plan) > room_bytes

    def _own_bytes(self, plan: Plan, slots: int) -> int:
        return self.shared.memory_of(replace(plan, input_slots=slots)).own_bytes

    def _landing_tops(self, plan: Plan) -> Factor:
        """Return where landing ends in the last frame."""
        axes = self.stripe.axes
        names = ("bucket_bytes", "overlap", "algorithm", "landing_slots")
        found = np.zeros([len(axes[name]) for name in names], dtype=np.int64)
        passes = self.shared.memory_of(plan)
        for b, bucket_bytes in enumerate(axes["bucket_bytes"]):
            cut = self.shared.cut(bucket_bytes).buckets
            for o, overlap in enumerate(axes["overlap"]):
                begin = passes.landing_from(cut, overlap=overlap)
                found[b, o] = landing_top(begin, self._landed[b])
        return Factor(axes=names, table=found)

    @cached_property
    def _landed(self) -> list[Ints]:
        """By bucket size: ``landed_bytes``, (algorithms, landing slots, B)."""
        axes, item = self.stripe.axes, DTYPE_BYTES[self.shared.training.dtype]
        slots = np.array(axes["landing_slots"], dtype=np.int64)[:, None]
        column = {n: i for i, n in enumerate(self._sizes)}
        found = [list[Ints]() for _ in axes["bucket_bytes"]]
        for name in axes["algorithm"]:
            strides = np.zeros((1, 1, len(column)), dtype=np.int64)
            if self.stripe.workers > 1:
                widths = landing_widths(name, self.stripe.workers, self._sizes)
                strides = -(-widths * item // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            strides = strides.sum(axis=1)
            for rows, bucket_bytes in zip(found, axes["bucket_bytes"], strict=True):
                own = strides[:, [column[n] for n in self.shared.cut(bucket_bytes).elements]]
                rows.append(slots * np.cumsum(own[int(np.argmax(own.sum(axis=1)))]))
        return [np.array(rows) for rows in found]

    @cached_property
    def _sizes(self) -> list[int]:
        """Sizes of the buckets of all cuts, in elements."""
        cuts = (self.shared.cut(size) for size in self.stripe.axes["bucket_bytes"])
        return sorted({n for cut in cuts for n in cut.elements})

    def _misplaced(self, placement: tuple[int, ...], name: str) -> int:
        return not meets(name, self.cluster, placement)

    def _memory_bytes(self, placement: tuple[int, ...]) -> int:
        return min(self.cluster.devices[device].memory_bytes for device in placement)

    # Tasks, and rows whose program is that of another row

    def _pass_tasks(self, plan: Plan) -> int:
        """Tasks of the passes of one worker: firings and loads."""
        rounds, model = plan.microbatches(self.shared.training.batch), self.shared.model
        adds = len(model.gradient_places)
        return rounds * (1 + len(model.passes)) - adds

    def _exchange_tasks(self, name: str, bucket_bytes: int) -> int:
        """Tasks of exchange and update."""
        workers = self.stripe.workers
        elements = self.shared.cut(bucket_bytes).elements
        if workers == 1:
            return len(elements)
        return sum(landings_of(name_at(name, n), workers).moves + workers for n in elements)

    def _tasks(self, plan: Plan, name: str, bucket_bytes: int) -> int:
        passes = self.stripe.workers * self._pass_tasks(plan)
        return passes + self._exchange_tasks(name, bucket_bytes)

    def _spare(self, name: str, value: int, used: int) -> bool:
        """Whether fewer slots do as well, where at most ``used`` are ever taken."""
        return any(used <= other < value for other in self.stripe.axes[name])

    def _spare_slots(self, plan: Plan, inputs: int, activations: int) -> int:
        rounds = plan.microbatches(self.shared.training.batch)
        spare = self._spare("input_slots", inputs, rounds)
        return spare or self._spare("activation_slots", activations, rounds)

    def _spare_landing(self, name: str, slots: int) -> int:
        return self._spare("landing_slots", slots, max(1, self._arrivals(name)))

    def _arrivals(self, name: str) -> int:
        """Chunks that land in one exchange at the rank where most do."""
        workers = self.stripe.workers
        return arrivals(name, workers) if workers > 1 else 0

    def _spare_overlap(self, bucket_bytes: int, overlap: bool) -> int:
        one = len(self.shared.cut(bucket_bytes).buckets) == 1
        return overlap and one and False in self.stripe.axes["overlap"]

    # Time

    def passes(self, microbatch: int) -> Factor:
        """Return what the passes take on the slowest device, and the loads: a bound of all plans.

        That is the bound of a plan that has nothing to exchange and to update.
        """
        plan = self.plan(microbatch)
        seated = (replace(plan, placement=seats) for seats in self.stripe.axes["placement"])
        least_ps = min(int(self._waits(some).starts.max(axis=1).min()) for some in seated)
        return Factor(axes=(), table=np.array(least_ps))

    def bounds(self, microbatch: int) -> Factor:
        """Return the bound of every plan with this microbatch."""
        if microbatch not in self.known_bounds:
            self._price([microbatch])
        return self.known_bounds[microbatch]

    def price_all(self) -> None:
        """Work out the bounds of all microbatches that were asked about."""
        wanted = [m for m in self.asked if m not in self.known_bounds]
        for begin in range(0, len(wanted), AT_ONCE):
            self._price(wanted[begin : begin + AT_ONCE])

    def _price(self, microbatches: Sequence[int]) -> None:
        """Compose passes and exchanges; the array twin of ``planner.cost.compose``."""
        axes, plans = self.stripe.axes, [self.plan(m) for m in microbatches]
        shape = [len(axes[name]) for name in BOUND_AXES]
        found = np.zeros((len(plans), *shape), dtype=np.int64)
        for p, placement in enumerate(axes["placement"]):
            seated = [replace(plan, placement=placement) for plan in plans]
            for some in _alike([self._cold(plan) for plan in seated]):
                waits = Waits.joined([self._waits(seated[i]) for i in some])
                for b, bucket_bytes in enumerate(axes["bucket_bytes"]):
                    exchange = self._exchanges(seated[some[0]], bucket_bytes)
                    lane = exchange.lane_ps(waits)
                    for o, overlap in enumerate(axes["overlap"]):
                        last = exchange.last_ps(waits, b if overlap else None, lane)
                        rows = last[waits.of_slots].reshape(len(some), -1, last.shape[1])
                        rows = rows.swapaxes(1, 2).reshape(len(some), shape[1], *shape[4:])
                        found[some, p, :, b, o] = rows
        tables = zip(microbatches, found, strict=True)
        self.known_bounds |= {m: Factor(axes=BOUND_AXES, table=table) for m, table in tables}

    def _waits(self, plan: Plan) -> Waits:
        """Return when passes and gradients are done, by input and activation slots."""
        axes, training = self.stripe.axes, self.shared.training
        books = books_of(plan.placement, self.cluster, self.all_books)
        key = (plan.microbatch, *map(id, books))
        if key not in self.waits:
            chosen = (
                replace(plan, input_slots=inputs, activation_slots=activations)
                for inputs in axes["input_slots"]
                for activations in axes["activation_slots"]
            )
            rounds = [rounds_of(training, some, self.cluster) for some in chosen]
            passes = [self.shared.pass_times(plan, book) for book in books]
            cuts = [self.shared.cut(size).places for size in axes["bucket_bytes"]]
            self.waits[key] = Waits.of(passes, rounds, cuts)
        return self.waits[key]

    def _cold(self, plan: Plan) -> int:
        """Return how cold additions and updates are, where that is measured; else 0."""
        books = books_of(plan.placement, self.cluster, self.all_books)
        return self.shared.calls_of(plan).step_reuse_bytes if any(b.ops for b in books) else 0

    def _exchanges(self, plan: Plan, bucket_bytes: int) -> Exchanges:
        """Return the exchanges of one placement and bucket size."""
        calls, cold = self.shared.calls_of(plan), self._cold(plan)
        books = books_of(plan.placement, self.cluster, self.all_books)
        key = (plan.placement, bucket_bytes, cold)
        if key in self.exchanges:
            return self.exchanges[key]
        update_ps, rows = UpdateTimes(calls, books), []
        for name in self.stripe.axes["algorithm"]:
            of_slots: dict[int, OneExchange] = {}
            for slots in self.stripe.axes["landing_slots"]:
                used = min(slots, self._arrivals(name))  # more of them change nothing
                if used not in of_slots:
                    chosen = replace(plan, algorithm=name, landing_slots=used)
                    prices = self._prices(chosen, calls, cold)
                    work = self._work(chosen, prices, update_ps, cold)
                    cost_ps = self._cost(chosen, prices, work, cold)
                    of_slots[used] = OneExchange(work=work, cost_ps=cost_ps, slots=max(1, used))
                rows.append(of_slots[used])
        elements = self.shared.cut(bucket_bytes).elements
        self.exchanges[key] = Exchanges.of(rows, elements, update_ps)
        return self.exchanges[key]

    def _prices(self, plan: Plan, calls: StepCalls, cold: int) -> Prices:
        """Return the prices between the ranks of a placement."""
        key = (plan.placement, cold)
        if key not in self.prices:
            transfer_ps = transfer_prices(plan.placement, self.cluster, self.shared.training.dtype)
            self.prices[key] = exchange_prices(
                plan, calls, transfer_ps, self.cluster, self.all_books
            )
        return replace(self.prices[key], landing_slots=plan.landing_slots)

    def _cost(
        self, plan: Plan, prices: Prices, work: Work | None, cold: int
    ) -> Callable[[int], int]:
        """Return elements to the time of an exchange, for the buckets of every size."""
        key = (plan.placement, plan.algorithm, plan.landing_slots, cold)
        if key not in self.costs:
            self.costs[key] = exchange_cost(plan, prices, work, self.cluster)
        return self.costs[key]

    def _routes(self, placement: tuple[int, ...]) -> Routes:
        """Return the routes of a placement, which all algorithms share."""
        if placement not in self.routes:
            item = DTYPE_BYTES[self.shared.training.dtype]
            self.routes[placement] = Routes(
                cluster=self.cluster, placement=placement, item_bytes=item
            )
        return self.routes[placement]

    def _work(
        self, plan: Plan, prices: Prices, update_ps: Callable[[int], int], cold: int
    ) -> Work | None:
        """Return what lanes and links do, for the buckets of every size at once."""
        key = (plan.placement, plan.algorithm, cold)
        if key not in self.works:
            axes, done = self.stripe.axes, len(self.works)
            most = max(len(axes["placement"]) * len(axes["algorithm"]), done + 1)
            self.told(done, most)
            routes = self._routes(plan.placement)
            self.works[key] = exchange_work(plan, self._sizes, prices, update_ps, routes)
            self.told(done + 1, most)
        return self.works[key]

"""Closed form and bounds of a step, in whole picoseconds: scalars here, arrays in ``table``.

``simulated >= closed form >= bound`` holds without tolerance: every term below is the length of a
chain of tasks of the program, or the work of one of its lanes or links between a fill and a drain
that are such chains, priced by the same laws with the same rounding as in ``planner.lower``. For
one bucket, no overlap and no contention the closed form is the simulation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from operator import add

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.units import PS_PER_S, Ints
from planner.algorithms import algorithm, is_switched
from planner.calls import StepCalls
from planner.collectives.base import Prices
from planner.crossings import Routes
from planner.exchange_work import Work, work_of
from planner.firings import NO_FIRINGS, firings_ps
from planner.folded_work import folded_work
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import UpdateTimes, exchange_prices, pass_times, transfer_prices
from planner.plan import Bucket, Plan, Training
from planner.registers import frame_count, plan_buckets
from planner.rounds import PassTimes, Rounds

COST_UP_TO_DEVICES = 16
"""Devices of a cluster up to which the closed form of an algorithm is taken rank by rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTimes:
    """Exchange and update: a factor of workers, placement, algorithm, bucket, landing slots."""

    buckets: tuple[Bucket, ...]
    cost_ps: tuple[int, ...]
    """By bucket: one uncontended exchange."""
    update_ps: tuple[int, ...]
    """By bucket: what follows its exchange; where a judge looks at all, that and all updates."""
    updates_ps: int
    """All updates, and what the judge takes."""
    rest_ps: tuple[int, ...]
    """By bucket: busiest lane or link of it and all after it, with fill and drain."""
    rest_by_size_ps: tuple[int, ...]
    """By bucket in the order of ``by_size``: the same of it and all larger ones."""
    delayed_ps: tuple[int, ...]
    """By bucket: what follows when it would be whole if nobody added (``planner.delays``)."""
    after_ps: int
    """Busiest compute lane: additions, and transfers where they hold it."""
    late_ps: Callable[[Ints, Sequence[Ints]], Ints]
    """When buckets are whole, (1, B), and the firings, to ``Work.late_ps``."""


def by_size(elements: Sequence[int]) -> list[int]:
    """Return the places of buckets, the smallest first: fill and drain grow with the size."""
    found: list[int] = np.argsort(elements, kind="stable").tolist()
    return found


def exchange_times(
    cut: Sequence[Bucket],
    cost_ps: Callable[[int], int],
    update_ps: UpdateTimes,
    work: Work | None,
    landing_slots: int = 1,
) -> ExchangeTimes:
    """Price the exchange and the update of every bucket of ``cut``.

    ``cost_ps`` and ``update_ps`` price a number of elements; without ``work`` there is nobody to
    exchange with.
    """
    elements = [bucket.elements for bucket in cut]
    following_ps, updates_ps = update_ps.of_buckets(elements)

    def late_ps(ready_ps: Ints, firings: Sequence[Ints]) -> Ints:
        if work is None:
            return np.zeros(len(ready_ps), dtype=np.int64)
        return work.late_ps(elements, landing_slots, ready_ps, firings, updates_ps)

    return ExchangeTimes(
        buckets=tuple(cut),
        cost_ps=tuple(map(cost_ps, elements)),
        update_ps=following_ps,
        updates_ps=updates_ps,
        rest_ps=work.rest_ps(elements) if work else (0,) * len(elements),
        rest_by_size_ps=work.rest_ps([elements[i] for i in by_size(elements)])
        if work
        else (0,) * len(elements),
        delayed_ps=work.delayed_ps(elements) if work else (0,) * len(elements),
        after_ps=work.busiest_ps(elements) if work else 0,
        late_ps=late_ps,
    )


def exchange_cost(
    plan: Plan, prices: Prices, work: Work | None, cluster: Cluster
) -> Callable[[int], int]:
    """Return elements to the time of one uncontended exchange, each worked out once.

    On large clusters it is the longest chain of moves, which is quicker found and never longer; so
    it is through a switch, where flows that share a port make whole rates that are no whole
    numbers. Where transfers crowd on a link, the longest chain may be longer than an algorithm's
    own closed form, which knows none.
    """
    if work is None:
        return lambda elements: 0
    if len(cluster.devices) > COST_UP_TO_DEVICES or is_switched(plan.algorithm):
        return lambda elements: int(work.chain_ps[work.sizes[elements]])
    name, module = plan.algorithm, algorithm(plan.algorithm)

    @cache
    def cost_ps(elements: int) -> int:
        own = module.cost_ps(elements, prices) + prices.library_ps(name, elements)
        return max(own, int(work.chain_ps[work.sizes[elements]]))

    return cost_ps


def exchange_work(
    plan: Plan,
    elements: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    routes: Routes,
) -> Work | None:
    """Return what lanes and links do in the exchange of buckets of these sizes."""
    if plan.workers == 1:
        return None
    asked = plan.algorithm, elements, prices, update_ps, routes
    return folded_work(*asked) or work_of(*asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Closed form of one step: the largest of named lower bounds, picoseconds."""

    bounds_ps: Mapping[str, int]
    """Busiest lanes and links with their fill and drain, and the longest chain."""

    @property
    def bound_ps(self) -> int:
        """Largest bound: never above the simulation."""
        return max(self.bounds_ps.values())

    @property
    def closed_form_ps(self) -> int:
        """Return the bound: it is the simulation itself where nothing is contended."""
        return self.bound_ps

    @property
    def closed_form_s(self) -> float:
        """Closed form, seconds."""
        return self.closed_form_ps / PS_PER_S


def estimate(
    model: ModelGraph,
    training: Training,
    plan: Plan,
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> Estimate:
    """Closed form of one plan: the scalar path."""
    used = books_of(plan.placement, cluster, books)
    calls = StepCalls.of(model, training, plan)
    transfer_ps = transfer_prices(plan.placement, cluster, training.dtype)
    prices = exchange_prices(plan, calls, transfer_ps, cluster, books)
    cut, update_ps = plan_buckets(model, training, plan), UpdateTimes(calls, used)
    elements = [bucket.elements for bucket in cut]
    item = DTYPE_BYTES[training.dtype]
    routes = Routes(cluster=cluster, placement=plan.placement, item_bytes=item)
    work = exchange_work(plan, elements, prices, update_ps, routes)
    cost_ps = exchange_cost(plan, prices, work, cluster)
    return compose(
        [pass_times(model, calls, book) for book in used],
        exchange_times(cut, cost_ps, update_ps, work, max(1, plan.landing_slots)),
        rounds_of(training, plan, cluster),
        plan.overlap,
    )


def books_of(
    placement: Sequence[int], cluster: Cluster, books: Mapping[str, CostBook]
) -> list[CostBook]:
    """Return the cost books of the kinds of devices in use, each once."""
    return [books[name] for name in dict.fromkeys(cluster.devices[d].name for d in placement)]


def holds_compute(cluster: Cluster, placement: Sequence[int]) -> bool:
    """Whether transfers and loads hold the compute lanes of all these devices."""
    return all(cluster.devices[d].transfers_hold_compute for d in placement)


def rounds_of(training: Training, plan: Plan, cluster: Cluster) -> Rounds:
    """Return how the microbatches of a plan follow one another."""
    return Rounds(
        count=plan.microbatches(training.batch),
        frames=max(1, frame_count(training, plan)),
        input_slots=0 if plan.decode_workers else max(1, plan.input_slots),
        holds=holds_compute(cluster, plan.placement),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """When the passes of a step are over at the earliest, picoseconds."""

    load_ps: int
    """All loads."""
    begin_ps: int
    """All passes, on the quickest device."""
    slowest_ps: int
    """All passes, on the slowest device."""


def starts(passes: Sequence[PassTimes], rounds: Rounds) -> Starts:
    """Return when the passes end; ``passes`` are those of each kind of device in use."""
    ends = [int(p.end_ps(rounds, -1)) for p in passes]
    return Starts(
        load_ps=max(p.load_ps for p in passes) * rounds.count,
        begin_ps=min(ends),
        slowest_ps=max(ends),
    )


def ready_ps(passes: Sequence[PassTimes], rounds: Rounds, places: Ints) -> Ints:
    """Return when the gradients that are whole at ``places`` are there on the quickest device."""
    found: Ints = np.minimum.reduce([p.end_ps(rounds, places) for p in passes])
    return found


def are_unbroken(passes: Sequence[PassTimes], rounds: Rounds, places: Ints, ready_ps: Ints) -> bool:
    """Whether gradients become whole one after another with nothing but passes between.

    What a rank adds in the meantime then puts off the later ones.
    """
    if len(passes) > 1 or not len(places):
        return False
    (one,) = passes
    own = one.until_ps[places] + (one.added_ps[places] if rounds.count > 1 else 0)
    apart = ready_ps - ready_ps[0]
    return bool((np.diff(places) >= 0).all() and (own - own[0] >= apart).all())


def compose(
    passes: Sequence[PassTimes], exchange: ExchangeTimes, rounds: Rounds, overlap: bool
) -> Estimate:
    """Compose the factors of one candidate; ``passes`` are those of each kind of device in use.

    Where kinds are mixed, the exchange begins when the quickest device is ready.
    """
    at = starts(passes, rounds)
    updates = exchange.updates_ps
    tails = [c + u for c, u in zip(exchange.cost_ps, exchange.update_ps, strict=True)]
    places = np.array([bucket.place for bucket in exchange.buckets])
    ready, delayed, firings = [at.begin_ps] * len(places), 0, NO_FIRINGS
    if overlap:
        firings = firings_ps(passes, rounds)
        whole = ready_ps(passes, rounds, places)
        ready = whole.tolist()
        if are_unbroken(passes, rounds, places, whole):
            delayed = max(map(add, ready, exchange.delayed_ps))
    sizes = by_size([bucket.elements for bucket in exchange.buckets])
    late = int(exchange.late_ps(np.array([ready]), [firings])[0])
    both = (ready, exchange.rest_ps), ([ready[i] for i in sizes], exchange.rest_by_size_ps)
    return Estimate(
        bounds_ps={
            "compute lane": max(at.begin_ps + exchange.after_ps, at.slowest_ps) + updates,
            "input lane": at.load_ps,
            "lanes and links of the exchange": max(
                delayed, late, *(_busy_ps(*order) for order in both)
            ),
            "longest chain": max(map(add, ready, tails)),
        }
    )


def _busy_ps(ready_ps: Sequence[int], rest_ps: Sequence[int]) -> int:
    """Return when all buckets from any one on are over, counted from when one of them is ready."""
    first = list(accumulate(reversed(ready_ps), min))[::-1]
    return max(a + b for a, b in zip(first, rest_ps, strict=True))

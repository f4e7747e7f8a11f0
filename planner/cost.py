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

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.units import PS_PER_S, to_ps
from planner.calls import StepCalls
from planner.collectives.base import Prices, algorithm
from planner.lowering import op_ps
from planner.model import ModelGraph
from planner.moves import Routes, Work, work_of
from planner.opcall import DTYPE_BYTES, OpCall
from planner.plan import Bucket, Plan, Training
from planner.registers import plan_buckets

COST_UP_TO_RANKS = 16
"""Ranks up to which the closed form of an algorithm is taken rank by rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTimes:
    """Factor with axes (workers, microbatch, placement): one microbatch, picoseconds."""

    load_ps: int
    forward_ps: int
    """All layers and the loss."""
    input_grad_ps: tuple[int, ...]
    """By layer; 0 where none is computed."""
    weight_grad_ps: tuple[int, ...]
    """By layer; 0 where there are no parameters."""
    sum_ps: tuple[int, ...]
    """By layer: adding the gradients that several readers of its output give."""
    accumulate_ps: tuple[int, ...]
    """By layer: adding a later microbatch's gradient."""

    def compute_ps(self, microbatches: int) -> int:
        """Forward and backward of a whole step."""
        backward = (*self.input_grad_ps, *self.weight_grad_ps, *self.sum_ps)
        once = self.forward_ps + sum(backward)
        return microbatches * once + (microbatches - 1) * sum(self.accumulate_ps)

    def ready_ps(self, bucket: Bucket, microbatches: int) -> int:
        """Work that precedes the last gradient of ``bucket``, loading apart."""
        above = sum(self.input_grad_ps[i] for i in bucket.after)
        above += sum(self.sum_ps[i] for i in {*bucket.after, *bucket.layers})
        own = sum(self.weight_grad_ps[i] for i in bucket.layers)
        added = sum(self.accumulate_ps[i] for i in bucket.layers)
        return microbatches * (self.forward_ps + above + own) + (microbatches - 1) * added


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTimes:
    """Exchange and update: a factor of workers, placement, algorithm, bucket, landing slots."""

    buckets: tuple[Bucket, ...]
    cost_ps: tuple[int, ...]
    """By bucket: one uncontended exchange."""
    update_ps: tuple[int, ...]
    """By bucket."""
    rest_ps: tuple[int, ...]
    """By bucket: busiest lane or link of it and all after it, with fill and drain."""
    after_ps: int
    """Busiest compute lane: additions, and transfers where they hold it."""


def pass_times(model: ModelGraph, calls: StepCalls, book: CostBook) -> PassTimes:
    """Price every op of one microbatch on the device of ``book``; equal layers share a price."""
    layers = calls.layers
    known: dict[int, int] = {}

    def price_ps(call: OpCall | None) -> int:
        if call is None:
            return 0
        if id(call) not in known:
            known[id(call)] = op_ps(book, call)
        return known[id(call)]

    sizes = {n: op_ps(book, calls.add(n)) for n in {x.parameter_count for x in model.layers} if n}
    return PassTimes(
        load_ps=price_ps(calls.load),
        forward_ps=sum(price_ps(call) for call in (*(c.forward for c in layers), calls.loss)),
        input_grad_ps=tuple(price_ps(c.input_grad) for c in layers),
        weight_grad_ps=tuple(price_ps(c.weight_grad) for c in layers),
        sum_ps=tuple(sum(map(price_ps, c.sums)) for c in layers),
        accumulate_ps=tuple(sizes.get(layer.parameter_count, 0) for layer in model.layers),
    )


def transfer_prices(
    placement: tuple[int, ...], cluster: Cluster, dtype: str
) -> Callable[[int, int, int], int]:
    """Return ``(src rank, dst rank, elements)`` to picoseconds, each worked out once."""
    item = DTYPE_BYTES[dtype]

    law_ps: dict[tuple[object, int], int] = {}

    @cache
    def transfer_ps(src: int, dst: int, elements: int) -> int:
        route = cluster.route(placement[src], placement[dst])
        law = (tuple(map(id, route.links)), elements)
        if law not in law_ps:
            payload = elements * item
            flow_ps = to_ps(payload / route.bandwidth_bytes_per_s) if payload else 0
            law_ps[law] = to_ps(route.overhead_s(payload)) + flow_ps
        return law_ps[law]

    return transfer_ps


def exchange_prices(
    plan: Plan,
    calls: StepCalls,
    transfer_ps: Callable[[int, int, int], int],
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> Prices:
    """Return the prices of transfers and additions between the ranks of ``plan``."""
    devices = [cluster.devices[d] for d in plan.placement]

    @cache
    def on_device(name: str, elements: int) -> int:
        return op_ps(books[name], calls.add(elements))

    return Prices(
        ranks=plan.workers,
        transfer_ps=transfer_ps,
        add_ps=lambda rank, elements: on_device(devices[rank].name, elements),
        holds_compute=any(d.transfers_hold_compute for d in devices),
        landing_slots=plan.landing_slots,
    )


def update_times(calls: StepCalls, books: Sequence[CostBook]) -> Callable[[int], int]:
    """Return elements to the time of their update on the quickest device, each worked out once."""

    @cache
    def update_ps(elements: int) -> int:
        return min(op_ps(book, calls.update(elements)) for book in books)

    return update_ps


def exchange_times(
    cut: Sequence[Bucket],
    cost_ps: Callable[[int], int],
    update_ps: Callable[[int], int],
    work: Work | None,
) -> ExchangeTimes:
    """Price the exchange and the update of every bucket of ``cut``.

    ``cost_ps`` and ``update_ps`` price a number of elements; without ``work`` there is nobody to
    exchange with.
    """
    elements = [bucket.elements for bucket in cut]
    return ExchangeTimes(
        buckets=tuple(cut),
        cost_ps=tuple(map(cost_ps, elements)),
        update_ps=tuple(map(update_ps, elements)),
        rest_ps=work.rest_ps(elements) if work else (0,) * len(elements),
        after_ps=work.busiest_ps(elements) if work else 0,
    )


def exchange_cost(plan: Plan, prices: Prices, work: Work | None) -> Callable[[int], int]:
    """Return elements to the time of one uncontended exchange, each worked out once.

    On many ranks it is the longest chain of moves, which is quicker found and never longer.
    """
    if work is None:
        return lambda elements: 0
    if plan.workers > COST_UP_TO_RANKS:
        return lambda elements: int(work.chain_ps[work.sizes[elements]])
    module = algorithm(plan.algorithm)
    return cache(lambda elements: module.cost_ps(elements, prices))


def exchange_work(
    plan: Plan,
    elements: Sequence[int],
    prices: Prices,
    update_ps: Callable[[int], int],
    cluster: Cluster,
    dtype: str,
) -> Work | None:
    """Return what lanes and links do in the exchange of buckets of these sizes."""
    if plan.workers == 1:
        return None
    routes = Routes(cluster=cluster, placement=plan.placement, item_bytes=DTYPE_BYTES[dtype])
    return work_of(algorithm(plan.algorithm).emit, elements, prices, update_ps, routes)


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


def factors(
    model: ModelGraph,
    training: Training,
    plan: Plan,
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> tuple[list[PassTimes], ExchangeTimes]:
    """Return what a step of one plan is composed of; passes of each kind of device in use."""
    used = books_of(plan.placement, cluster, books)
    calls = StepCalls.of(model, training, plan)
    transfer_ps = transfer_prices(plan.placement, cluster, training.dtype)
    prices = exchange_prices(plan, calls, transfer_ps, cluster, books)
    cut, update_ps = plan_buckets(model, training, plan), update_times(calls, used)
    elements = [bucket.elements for bucket in cut]
    work = exchange_work(plan, elements, prices, update_ps, cluster, training.dtype)
    exchange = exchange_times(cut, exchange_cost(plan, prices, work), update_ps, work)
    return [pass_times(model, calls, book) for book in used], exchange


def estimate(
    model: ModelGraph,
    training: Training,
    plan: Plan,
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> Estimate:
    """Closed form of one plan: the scalar path."""
    return compose(
        *factors(model, training, plan, cluster, books),
        plan.microbatches(training.batch),
        plan.overlap,
        holds_compute(cluster, plan.placement),
    )


def books_of(
    placement: Sequence[int], cluster: Cluster, books: Mapping[str, CostBook]
) -> list[CostBook]:
    """Return the cost books of the kinds of devices in use, each once."""
    return [books[name] for name in dict.fromkeys(cluster.devices[d].name for d in placement)]


def holds_compute(cluster: Cluster, placement: Sequence[int]) -> bool:
    """Whether transfers and loads hold the compute lanes of all these devices."""
    return all(cluster.devices[d].transfers_hold_compute for d in placement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """When the passes of a step are over at the earliest, picoseconds."""

    load_ps: int
    """All loads."""
    begin_ps: int
    """All passes, on the quickest device."""
    slowest_ps: int
    """All passes, on the slowest device."""


def starts(passes: Sequence[PassTimes], microbatches: int, holds: bool) -> Starts:
    """Return when the passes end; ``passes`` are those of each kind of device in use."""
    loads = [p.load_ps * (microbatches if holds else 1) for p in passes]
    ends = [load + p.compute_ps(microbatches) for load, p in zip(loads, passes, strict=True)]
    return Starts(
        load_ps=max(p.load_ps for p in passes) * microbatches,
        begin_ps=min(ends),
        slowest_ps=max(ends),
    )


def compose(
    passes: Sequence[PassTimes],
    exchange: ExchangeTimes,
    microbatches: int,
    overlap: bool,
    holds: bool,
) -> Estimate:
    """Compose the factors of one candidate; ``passes`` are those of each kind of device in use.

    Where kinds are mixed, the exchange begins when the quickest device is ready.
    """
    at = starts(passes, microbatches, holds)
    updates = sum(exchange.update_ps)
    tails = [c + u for c, u in zip(exchange.cost_ps, exchange.update_ps, strict=True)]
    loading = [p.load_ps * (microbatches if holds else 1) for p in passes]
    ready = [
        min(load + p.ready_ps(b, microbatches) for load, p in zip(loading, passes, strict=True))
        if overlap
        else at.begin_ps
        for b in exchange.buckets
    ]
    first = list(accumulate(reversed(ready), min))[::-1]
    return Estimate(
        bounds_ps={
            "compute lane": max(at.begin_ps + exchange.after_ps, at.slowest_ps) + updates,
            "input lane": at.load_ps,
            "lanes and links of the exchange": max(map(add, first, exchange.rest_ps)),
            "longest chain": max(map(add, ready, tails)),
        }
    )

"""Closed form and bounds of a step, in whole picoseconds: scalars here, arrays in ``table``.

``simulated >= closed form >= bound`` holds without tolerance: every term below is the length of a
chain of tasks of the program, or the work of one of its lanes, priced by the same laws with the
same rounding as in ``planner.lower``. For one bucket, no overlap and no contention the closed form
is the simulation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.units import PS_PER_S, to_ps
from planner.calls import StepCalls
from planner.collectives.base import Load, Prices, algorithm, traffic
from planner.lowering import op_ps
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.plan import Bucket, Plan, Training
from planner.registers import plan_buckets


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
    """Exchange and update: a factor of the axes of ``PassTimes``, algorithm, bucket, slots."""

    buckets: tuple[Bucket, ...]
    cost_ps: tuple[int, ...]
    """By bucket: one uncontended exchange."""
    update_ps: tuple[int, ...]
    """By bucket."""
    send_ps: int
    """Busiest send lane, all buckets."""
    receive_ps: int
    add_ps: int
    """Busiest compute lane: additions only."""
    total_ps: int
    """Busiest rank where transfers hold the compute lane: send, receive and add."""


def pass_times(model: ModelGraph, calls: StepCalls, book: CostBook) -> PassTimes:
    """Price every op of one microbatch on the device of ``book``."""
    layers = calls.layers
    forward = [*(call.forward for call in layers), calls.loss]
    sizes = [layer.parameter_count for layer in model.layers]
    return PassTimes(
        load_ps=op_ps(book, calls.load),
        forward_ps=sum(op_ps(book, call) for call in forward),
        input_grad_ps=tuple(op_ps(book, c.input_grad) if c.input_grad else 0 for c in layers),
        weight_grad_ps=tuple(op_ps(book, c.weight_grad) if c.weight_grad else 0 for c in layers),
        sum_ps=tuple(sum(op_ps(book, call) for call in c.sums) for c in layers),
        accumulate_ps=tuple(op_ps(book, calls.add(n)) if n else 0 for n in sizes),
    )


def transfer_prices(
    placement: tuple[int, ...], cluster: Cluster, dtype: str
) -> Callable[[int, int, int], int]:
    """Return ``(src rank, dst rank, elements)`` to picoseconds, each worked out once."""
    item = DTYPE_BYTES[dtype]

    @cache
    def transfer_ps(src: int, dst: int, elements: int) -> int:
        route = cluster.route(placement[src], placement[dst])
        payload = elements * item
        flow_ps = to_ps(payload / route.bandwidth_bytes_per_s) if payload else 0
        return to_ps(route.overhead_s(payload)) + flow_ps

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


def exchange_times(
    model: ModelGraph,
    calls: StepCalls,
    plan: Plan,
    prices: Prices,
    book: CostBook,
) -> ExchangeTimes:
    """Price the exchange and, on the device of ``book``, the update of every bucket of ``plan``."""
    cut = plan_buckets(model, calls.training, plan)
    update_ps = tuple(op_ps(book, calls.update(b.elements)) for b in cut)
    if plan.workers == 1:
        return ExchangeTimes(
            buckets=cut,
            cost_ps=(0,) * len(cut),
            update_ps=update_ps,
            send_ps=0,
            receive_ps=0,
            add_ps=0,
            total_ps=0,
        )
    module = algorithm(plan.algorithm)
    by_bucket = [traffic(module.emit, b.elements, plan.workers).loads(prices) for b in cut]
    ranks: list[tuple[Load, ...]] = list(zip(*by_bucket, strict=True))
    return ExchangeTimes(
        buckets=cut,
        cost_ps=tuple(module.cost_ps(bucket.elements, prices) for bucket in cut),
        update_ps=update_ps,
        send_ps=max(sum(x.send_ps for x in loads) for loads in ranks),
        receive_ps=max(sum(x.receive_ps for x in loads) for loads in ranks),
        add_ps=max(sum(x.add_ps for x in loads) for loads in ranks),
        total_ps=max(sum(x.total_ps for x in loads) for loads in ranks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Closed form of one step and the bounds it is made of, picoseconds."""

    bounds_ps: Mapping[str, int]
    """Named lower bounds: the busiest lane of each kind."""
    chains_ps: Mapping[str, int]
    """Named chains: work that must follow one another."""

    @property
    def bound_ps(self) -> int:
        """Largest lane bound."""
        return max(self.bounds_ps.values())

    @property
    def closed_form_ps(self) -> int:
        """Largest of all: never below the bound, never above the simulation."""
        return max(self.bound_ps, *self.chains_ps.values())

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
    device = cluster.devices[plan.placement[0]]
    calls = StepCalls.of(model, training, plan)
    passes = pass_times(model, calls, books[device.name])
    transfer_ps = transfer_prices(plan.placement, cluster, training.dtype)
    prices = exchange_prices(plan, calls, transfer_ps, cluster, books)
    exchange = exchange_times(model, calls, plan, prices, books[device.name])
    rounds = plan.microbatches(training.batch)
    return compose(passes, exchange, rounds, plan.overlap, device.transfers_hold_compute)


def compose(
    passes: PassTimes, exchange: ExchangeTimes, microbatches: int, overlap: bool, holds: bool
) -> Estimate:
    """Compose the factors of one candidate.

    ASSUMES: all workers have the same device, so that all are ready at the same instant.
    """
    compute = passes.compute_ps(microbatches)
    loading = passes.load_ps * microbatches if holds else passes.load_ps
    updates = sum(exchange.update_ps)
    after = exchange.total_ps if holds else exchange.add_ps
    bounds = {"compute lane": loading + compute + after + updates}
    bounds["input lane"] = passes.load_ps * microbatches
    costs = list(zip(exchange.cost_ps, exchange.update_ps, strict=True))
    if overlap:
        ready = [loading + passes.ready_ps(b, microbatches) for b in exchange.buckets]
        bounds["send lane"] = min(ready) + exchange.send_ps
        bounds["receive lane"] = min(ready) + exchange.receive_ps
        tails = [r + cost + last for r, (cost, last) in zip(ready, costs, strict=True)]
        chains = {"gradient to update": max(tails)}
    else:
        begin = loading + compute
        bounds["send lane"] = begin + exchange.send_ps
        bounds["receive lane"] = begin + exchange.receive_ps
        chains = {"exchange to update": begin + max(cost + last for cost, last in costs)}
    return Estimate(bounds_ps=bounds, chains_ps=chains)

"""Plan tables: P candidates as arrays, priced in one call.

A *factor* is a function with named axes (``PassTimes``: workers, microbatch, placement;
``ExchangeTimes``: these, algorithm, bucket size, landing slots); its table is built over those axes
and gathered by index. All sums are integers, so the result equals the scalar path of
``planner.cost`` to the bit.

Index letters: P candidates, A rows of the pass table, E rows of the exchange table, C ways to cut
the gradient, B buckets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.collectives.base import Prices
from planner.cost import (
    ExchangeTimes,
    PassTimes,
    exchange_prices,
    exchange_times,
    pass_times,
    transfer_prices,
)
from planner.machine import Machine
from planner.memory import PassMemory, arena_bytes, landed_bytes, pass_memory
from planner.model import ModelGraph
from planner.plan import Bucket, Plan, Training, Verdict, verdict
from planner.registers import plan_buckets

VERDICTS = tuple(Verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTable:
    """Candidates and their prices; row ``i`` is ``plans[i]``."""

    plans: tuple[Plan, ...]
    verdict: Ints
    """(P,) index into ``VERDICTS``."""
    bound_ps: Ints
    """(P,) lower bound; 0 where the verdict is not FITS."""
    closed_form_ps: Ints
    """(P,) closed form; 0 where the verdict is not FITS."""
    arena_bytes: Ints
    """(P,) static arena of the fullest worker; 0 where the plan does not divide."""

    @property
    def feasible(self) -> Ints:
        """Rows that fit, ascending."""
        return np.flatnonzero(self.verdict == VERDICTS.index(Verdict.FITS)).astype(np.int64)

    def counts(self) -> dict[str, int]:
        """Return how many rows have each verdict."""
        return {v.name.lower(): int((self.verdict == i).sum()) for i, v in enumerate(VERDICTS)}


def price(
    model: ModelGraph, training: Training, plans: Sequence[Plan], machine: Machine
) -> PlanTable:
    """Give every candidate its verdict, memory, bound and closed form."""
    found = np.zeros(len(plans), dtype=np.int64)
    arena = np.zeros(len(plans), dtype=np.int64)
    steps: dict[tuple[object, ...], PassMemory] = {}
    begins: dict[tuple[object, ...], Ints] = {}
    landings: dict[tuple[object, ...], Ints] = {}
    for i, plan in enumerate(plans):
        cluster = machine.cluster(plan.workers)
        verdict_i = verdict(model, training, plan, cluster)
        if verdict_i is Verdict.FITS:
            step = (plan.workers, plan.microbatch, plan.input_slots, plan.activation_slots)
            if step not in steps:
                steps[step] = pass_memory(model, training, plan)
            cut = (*step, plan.bucket_bytes, plan.overlap)
            if cut not in begins:
                buckets = plan_buckets(model, training, plan)
                begins[cut] = steps[step].landing_from(buckets, overlap=plan.overlap)
            landing = (plan.workers, plan.algorithm, plan.bucket_bytes, plan.landing_slots)
            if landing not in landings:
                landings[landing] = landed_bytes(model, training, plan)
            passes = steps[step]
            arena[i] = arena_bytes(
                passes.own_bytes,
                passes.frame_bytes,
                passes.frames,
                begins[cut],
                landings[landing],
            )
            if any(arena[i] > cluster.devices[d].memory_bytes for d in plan.placement):
                verdict_i = Verdict.OUT_OF_MEMORY
        found[i] = VERDICTS.index(verdict_i)
    rows = np.flatnonzero(found == VERDICTS.index(Verdict.FITS))
    bound, closed = np.zeros_like(found), np.zeros_like(found)
    if len(rows):
        fits = [plans[int(i)] for i in rows]
        bound[rows], closed[rows] = _times(model, training, fits, machine)
    return PlanTable(
        plans=tuple(plans),
        verdict=found,
        bound_ps=bound,
        closed_form_ps=closed,
        arena_bytes=arena,
    )


def _pass_axes(plan: Plan) -> tuple[object, ...]:
    return (plan.workers, plan.microbatch, plan.placement)


def _exchange_axes(plan: Plan) -> tuple[object, ...]:
    return (*_pass_axes(plan), plan.algorithm, plan.bucket_bytes, plan.landing_slots)


def _times(
    model: ModelGraph,
    training: Training,
    plans: Sequence[Plan],
    machine: Machine,
) -> tuple[Ints, Ints]:
    """Bound and closed form of candidates that fit, shape (P,) each."""
    pass_rows = [_pass_axes(p) for p in plans]
    exchange_rows = [_exchange_axes(p) for p in plans]
    passes: dict[tuple[object, ...], PassTimes] = {}
    exchanges: dict[tuple[object, ...], ExchangeTimes] = {}
    calls: dict[tuple[int, int], StepCalls] = {}
    transfers: dict[tuple[int, tuple[int, ...]], Callable[[int, int, int], int]] = {}
    prices: dict[tuple[object, ...], Prices] = {}
    for p, key, at in zip(plans, pass_rows, exchange_rows, strict=True):
        if at in exchanges:
            continue
        cluster, books = machine.cluster(p.workers), machine.books(p.workers)
        if (p.workers, p.microbatch) not in calls:
            calls[p.workers, p.microbatch] = StepCalls.of(model, training, p)
        fired = calls[p.workers, p.microbatch]
        book = books[cluster.devices[p.placement[0]].name]
        if key not in passes:
            passes[key] = pass_times(model, fired, book)
        between = (p.workers, p.placement)
        if between not in transfers:
            transfers[between] = transfer_prices(p.placement, cluster, training.dtype)
        slots = (*key, p.landing_slots)
        if slots not in prices:
            prices[slots] = exchange_prices(p, fired, transfers[between], cluster, books)
        exchanges[at] = exchange_times(model, fired, p, prices[slots], book)
    a_of = {key: i for i, key in enumerate(passes)}
    e_of = {key: i for i, key in enumerate(exchanges)}
    a = np.array([a_of[key] for key in pass_rows])
    e = np.array([e_of[key] for key in exchange_rows])
    rounds = np.array([p.microbatches(training.batch) for p in plans], dtype=np.int64)
    overlap = np.array([p.overlap for p in plans])
    holds = np.array([machine.holds_compute(p) for p in plans])
    return compose_table(
        list(passes.values()), list(exchanges.values()), a, e, rounds, overlap, holds
    )


def compose_table(
    passes: Sequence[PassTimes],
    exchanges: Sequence[ExchangeTimes],
    a: Ints,
    e: Ints,
    rounds: Ints,
    overlap: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    holds: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
) -> tuple[Ints, Ints]:
    """Compose gathered factors; the array twin of :func:`planner.cost.compose`."""
    load = np.array([p.load_ps for p in passes])[a]
    compute_once = np.array([p.compute_ps(1) for p in passes])[a]
    more = np.array([sum(p.accumulate_ps) for p in passes])[a]
    compute = rounds * compute_once + (rounds - 1) * more
    loading = np.where(holds, load * rounds, load)
    begin = loading + compute
    send = np.array([x.send_ps for x in exchanges])[e]
    receive = np.array([x.receive_ps for x in exchanges])[e]
    added = np.array([x.add_ps for x in exchanges])[e]
    total = np.array([x.total_ps for x in exchanges])[e]
    updates = np.array([sum(x.update_ps) for x in exchanges])[e]
    lane = np.maximum(begin + np.where(holds, total, added) + updates, load * rounds)
    cuts = {cut: i for i, cut in enumerate(dict.fromkeys(x.buckets for x in exchanges))}
    cut = np.array([cuts[x.buckets] for x in exchanges])[e]
    width = max(map(len, cuts))
    once, extra = _ready_tables(passes, list(cuts), width)
    tail = _tail_table(exchanges, width)
    # (P, B): earliest ready time of each bucket; absent buckets repeat bucket 0, which changes no
    # minimum and no maximum
    ready = (
        loading[:, None] + rounds[:, None] * once[a, cut] + (rounds - 1)[:, None] * extra[a, cut]
    )
    start = np.where(overlap, ready.min(axis=1), begin)
    chain = np.where(overlap, (ready + tail[e]).max(axis=1), begin + tail[e].max(axis=1))
    bound = np.maximum(lane, start + np.maximum(send, receive))
    return bound, np.maximum(bound, chain)


def _ready_tables(
    passes: Sequence[PassTimes], cuts: Sequence[tuple[Bucket, ...]], width: int
) -> tuple[Ints, Ints]:
    """Ready work of a round and of adding to an earlier one, shape (A, C, B), for C cuts."""
    once = np.zeros((len(passes), len(cuts), width), dtype=np.int64)
    extra = np.zeros_like(once)
    for i, factor in enumerate(passes):
        for j, cut in enumerate(cuts):
            for b in range(width):
                bucket = cut[b if b < len(cut) else 0]
                once[i, j, b] = factor.ready_ps(bucket, 1)
                extra[i, j, b] = factor.ready_ps(bucket, 2) - 2 * once[i, j, b]
    return once, extra


def _tail_table(exchanges: Sequence[ExchangeTimes], width: int) -> Ints:
    """Exchange and update that follow a bucket's last gradient, shape (E, B)."""
    tail = np.zeros((len(exchanges), width), dtype=np.int64)
    for i, exchange in enumerate(exchanges):
        for b in range(width):
            k = b if b < len(exchange.buckets) else 0
            tail[i, b] = exchange.cost_ps[k] + exchange.update_ps[k]
    return tail

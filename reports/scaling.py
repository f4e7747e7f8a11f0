"""A plan on other numbers of workers, at the same global batch."""

from dataclasses import dataclass, replace

from hwprofiles.errors import ForeplanError
from planner.algorithms import fits
from planner.layout import memory_bytes
from planner.lower import lower
from planner.machine import Machine
from planner.model import ModelGraph, load_model
from planner.opcall import DTYPE_BYTES
from planner.plan import Plan, Training, Verdict, verdict
from planner.records import PlanFile, RankedPlan
from sim.engine import simulate

MOST_WORKERS = 64
"""Larger steps take too long to simulate beside a page; the plan's own is known already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One number of workers."""

    workers: int
    step_s: float


def scaling(plans: PlanFile, own: RankedPlan) -> tuple[Point, ...]:
    """Return the simulated step on 1, 2, 4, ... workers, with the plan's own among them.

    Exchange, buckets and overlap are the plan's, and the microbatch where it fits. Numbers of
    workers that the plan file has no costs for, or that cannot be, are left out. A plan whose input
    runs ahead has no curve: one step does not tell its pace.
    """
    if own.plan.decode_workers:
        return ()
    try:
        model, machine = load_model(plans.model), plans.to_machine()
    except (ForeplanError, LookupError):
        return ()
    sizes = {2**k for k in range(machine.devices.bit_length()) if 2**k <= machine.devices}
    points = [Point(workers=own.plan.workers, step_s=own.prediction.step_s)]
    for workers in sorted(sizes - {own.plan.workers}):
        if workers <= MOST_WORKERS and (own.plan.workers > 1 or workers == 1):
            step_s = _step_s(model, plans.training, own.plan, machine, workers)
            points += [Point(workers=workers, step_s=step_s)] if step_s else []
    return tuple(sorted(points, key=lambda point: point.workers))


def _step_s(
    model: ModelGraph, training: Training, plan: Plan, machine: Machine, workers: int
) -> float | None:
    """Simulate ``plan`` on another number of workers; none where it cannot be."""
    whole = model.parameter_count * DTYPE_BYTES[training.dtype]
    other = replace(
        plan,
        workers=workers,
        placement=tuple(range(workers)),
        microbatch=min(plan.microbatch, max(1, training.batch // workers)),
    )
    if workers == 1:
        other = replace(other, algorithm="none", bucket_bytes=whole, overlap=False)
    elif not fits(other.algorithm, workers):
        return None
    try:
        cluster, books = machine.cluster(workers), machine.books(workers)
    except ForeplanError:
        return None
    most = min(cluster.devices[device].memory_bytes for device in other.placement)
    if verdict(model, training, other, cluster) is not Verdict.FITS:
        return None
    if sum(memory_bytes(model, training, other).values()) > most:
        return None
    return simulate(lower(model, training, other, cluster, books).graph).makespan_s

"""What an input pipeline will do: the load of its stages, its bottleneck, and what it should have.

The period of a step is at least the load of each stage over its servers. That is exact where one
stage is always busy: with two slots or more, equal workers, and a pipeline that may run further
ahead than the other stages are apart; else the simulation lies above it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.units import PS_PER_S, format_s
from planner.calls import StepCalls
from planner.cost import Estimate, holds_compute
from planner.input_calls import input_calls
from planner.inputs import has_core, read_ps
from planner.lowering import op_ps
from planner.machine import Machine
from planner.model import ModelGraph
from planner.plan import Plan, Training
from planner.rings import ring_registers

STAGES = ("read", "decode", "copy", "compute")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputForecast:
    """The stages of a plan's input pipeline; seconds of one step in the steady state."""

    stages_s: Mapping[str, float]
    """By stage: the work of its busiest server. ``compute`` is a step that never waits for input,
    with what else its core does: copies on a CPU, decode workers that have no core."""
    busy_frac: Mapping[str, float]
    """By stage: share of the period in which its busiest server works."""
    bottleneck: str
    """Stage with most work; of equal ones the last. Where copies hold the compute lane, ``copy`` if
    they are most of what it does."""
    ring_bytes: int
    """Memory between the processes of one worker, beside its arena."""
    needed_workers: int
    """Decode workers with cores of their own that keep up with compute."""
    needed_bytes_per_s: float
    """What a host reads where compute never waits."""
    disk_bytes_per_s: float
    """What it can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Work of one step, picoseconds: closed form of the stages."""

    read_ps: int
    """Of the disk, which the workers of a host share."""
    decode_ps: int
    """Of one decode worker, on the average over the steps, rounded down."""
    shared_ps: int
    """Of the decode workers that take the core of their worker, where fewest do."""
    copy_ps: int
    compute_ps: int
    """A whole step that never waits for its input, copies included if its cores make them."""
    one_decode_ps: int
    one_read_ps: int
    copies_hold_compute: bool

    @property
    def period_ps(self) -> int:
        """Least length of a step."""
        return max(self.read_ps, self.decode_ps, self.copy_ps, self.compute_ps)


def loads_of(
    model: ModelGraph,
    training: Training,
    plan: Plan,
    cluster: Cluster,
    books: Mapping[str, CostBook],
    step: Estimate,
) -> Loads:
    """Return the load of every stage of ``plan``; ``step`` is the closed form of its step.

    ASSUMES: all workers have the same device.
    """
    calls = StepCalls.of(model, training, plan).inputs
    assert calls is not None
    device = cluster.devices[plan.placement[0]]
    book, holds = books[device.name], device.transfers_hold_compute
    rounds, workers = plan.microbatches(training.batch), plan.decode_workers
    read, decode, copy = (op_ps(book, call) for call in calls.all)
    read = read_ps(read, calls.read, training)
    per_host = cluster.routing.node_devices or len(cluster.devices)
    hosts = [device // per_host for device in plan.placement]
    sharing = [
        sum(not has_core(plan, rank, worker) for worker in range(workers))
        for rank in range(plan.workers)
    ]
    shared = min(sharing) * rounds * decode // workers  # of whichever worker is the busiest
    bounds = {name: ps for name, ps in step.bounds_ps.items() if name != "input lane"}
    # where another engine copies, it does so ahead of the step; all of these begin with one copy
    ahead = 0 if holds else copy
    compute = max(*bounds.values(), bounds["compute lane"] + shared)
    return Loads(
        read_ps=read * rounds * max(hosts.count(host) for host in hosts),
        decode_ps=rounds * decode // workers,
        shared_ps=shared,
        copy_ps=rounds * copy,
        compute_ps=compute - ahead,
        one_decode_ps=decode,
        one_read_ps=read,
        copies_hold_compute=holds,
    )


def forecast(
    model: ModelGraph, training: Training, plan: Plan, loads: Loads, period_ps: int
) -> InputForecast:
    """Return what the loads mean where a step takes ``period_ps``."""
    rounds = plan.microbatches(training.batch)
    work = (loads.read_ps, loads.decode_ps, loads.copy_ps, loads.compute_ps)
    stages = dict(zip(STAGES, work, strict=True))
    calls = input_calls(model, training, plan)
    compute_ps = loads.compute_ps - loads.shared_ps
    disk_bytes_per_s = calls.read.moved_bytes / loads.one_read_ps * PS_PER_S
    return InputForecast(
        stages_s={name: ps / PS_PER_S for name, ps in stages.items()},
        busy_frac={name: ps / period_ps for name, ps in stages.items()},
        bottleneck=_bottleneck(stages, loads.copies_hold_compute),
        ring_bytes=sum(r.arena_bytes for r in ring_registers(calls, plan)),
        needed_workers=max(1, -(-rounds * loads.one_decode_ps // compute_ps)),
        needed_bytes_per_s=disk_bytes_per_s * loads.read_ps / compute_ps,
        disk_bytes_per_s=disk_bytes_per_s,
    )


def _bottleneck(stages: Mapping[str, int], copies_hold_compute: bool) -> str:
    most = max(reversed(STAGES), key=stages.__getitem__)
    is_copy = copies_hold_compute and 2 * stages["copy"] > stages["compute"]
    return "copy" if most == "compute" and is_copy else most


def with_input(
    plan: Plan, machine: Machine, cores: int, decode_workers: int, prefetch: int
) -> Plan:
    """Return ``plan`` with another pipeline, on ``cores`` cores of its host.

    Every decode worker has a core to itself while there are any beside those of the workers. Where
    an engine of its own copies, it has a second slot to copy to.
    """
    holds = holds_compute(machine.cluster(plan.workers), plan.placement)
    slots = plan.input_slots if holds else max(2, plan.input_slots)
    spare = max(0, cores - plan.workers)
    return replace(
        plan,
        decode_workers=decode_workers,
        prefetch=prefetch,
        input_slots=slots if decode_workers else plan.input_slots,
        decode_cores=min(spare, plan.workers * decode_workers),
    )


def advice(found: InputForecast, plan: Plan, cores: int) -> str:
    """Say what a plan needs so that its compute never waits, and what it has."""
    from hwprofiles.units import format_bytes

    def rate(bytes_per_s: float) -> str:
        return f"{format_bytes(bytes_per_s)}/s"

    need = f"{found.needed_workers} decode worker{'s' * (found.needed_workers > 1)} per worker"
    text = (
        f"{need} and {rate(found.needed_bytes_per_s)} from disk needed to keep compute busy; you"
        f" have {plan.decode_workers} and {rate(found.disk_bytes_per_s)}"
    )
    if found.bottleneck == "compute":
        return f"{text}: compute is the bottleneck ({format_s(found.stages_s['compute'])} a step)"
    held = format_s(found.stages_s[found.bottleneck])
    text += f": {found.bottleneck} is the bottleneck ({held} a step)"
    if found.needed_workers * plan.workers + plan.workers > cores:
        text += f"; these need {plan.workers * (found.needed_workers + 1)} cores, {cores} are there"
    return text

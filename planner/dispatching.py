"""Who decides what runs next: a central scheduler, actors, or stages through the disk.

One program, a step of data-parallel training of AlexNet, is run three ways on four devices of
several kinds, its batch cut into few large or many small tasks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwprofiles.clusters import cluster_facts
from hwprofiles.costs import CostBook
from hwprofiles.units import GB, PS_PER_S, US, to_ps
from planner.lower import lower
from planner.model import load_model
from planner.network import flat_network
from planner.plan import Plan, Training
from planner.program import ComputeTask, Program
from sim import central, stages
from sim.engine import simulate
from sim.timeline import Timeline

MODEL, WORKERS, SAMPLES = "alexnet", 4, 128
LINK, DISK_OF = "ethernet-100g", "dgx-1-v100"
BUCKET_BYTES = 25 << 20  # PyTorch DDP bucket_cap_mb default
MICROBATCHES = (128, 32, 8)
DISPATCH_S = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
DASK_S = 200 * US  # docs.dask.org, "Shared Memory", Performance: 200 us overhead per task
GPU_LAUNCH_S = 6.7 * US
"""Of a kernel that is launched and waited for: 9.6 us less 2.9 us of work on a V100 (recalled from
A. Gray, "Getting Started with CUDA Graphs", NVIDIA 2019)."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A device and the precision in which it computes."""

    label: str
    device: str
    dtype: str
    launch_s: float = 0.0


KINDS = (
    Kind(label="CPU", device="xeon-e5-2660-v3", dtype="float32"),
    Kind(label="V100", device="v100-sxm2-16g", dtype="float32", launch_s=GPU_LAUNCH_S),
    Kind(label="V100 tensor", device="v100-sxm2-16g", dtype="float16", launch_s=GPU_LAUNCH_S),
    Kind(label="TPU v2", device="tpu-v2", dtype="bfloat16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One program on one kind of device, run in all ways."""

    kind: str
    microbatch: int
    """Samples of a task."""
    tasks: int
    task_s: float
    """Median of the compute tasks."""
    actors_s: float
    """Step of decentralised actors: the reference."""
    stages_s: float
    """Step in bulk-synchronous stages through the disk."""
    stages: int
    disk_bytes: int
    dispatch_s: tuple[float, ...]
    central_s: tuple[float, ...]
    """Step under a central scheduler, by ``dispatch_s``."""
    bottlenecks: tuple[str, ...]
    """What bounds the step under a central scheduler, by ``dispatch_s``."""


def dispatching(
    kinds: Sequence[Kind] = KINDS,
    microbatches: Sequence[int] = MICROBATCHES,
    dispatch_s: Sequence[float] = DISPATCH_S,
    *,
    model: str = MODEL,
    samples: int = SAMPLES,
    progress: Progress = lambda done, total: None,
) -> tuple[Case, ...]:
    """Run every kind with every size of task in all ways.

    ``samples`` are those of one worker in a step, ``microbatches`` the samples of one task.
    """
    cases = []
    total = len(kinds) * len(microbatches)
    for kind in kinds:
        for microbatch in microbatches:
            program = _program(kind, model, samples, microbatch)
            cases.append(_case(kind, microbatch, program, tuple(dispatch_s)))
            progress(len(cases), total)
    return tuple(cases)


def _program(kind: Kind, model: str, samples: int, microbatch: int) -> Program:
    cluster = flat_network(LINK, kind.device, WORKERS).cluster(WORKERS)
    device = replace(cluster.devices[0], launch_overhead_s=kind.launch_s)
    cluster = replace(cluster, devices=(device,) * WORKERS)
    plan = Plan(
        workers=WORKERS,
        microbatch=microbatch,
        placement=tuple(range(WORKERS)),
        algorithm="ring",
        bucket_bytes=BUCKET_BYTES,
        overlap=True,
    )
    training = Training(batch=samples * WORKERS, dtype=kind.dtype)
    books = {device.name: CostBook(device=device, ops={})}
    return lower(load_model(model), training, plan, cluster, books)


def _case(kind: Kind, microbatch: int, program: Program, dispatch_s: tuple[float, ...]) -> Case:
    graph = program.graph
    actors = simulate(graph)
    staged = stages.staged(graph, disk())
    compute = [isinstance(info, ComputeTask) for info in program.tasks]
    schedulers = [scheduler(seconds) for seconds in dispatch_s]
    return Case(
        kind=kind.label,
        microbatch=microbatch,
        tasks=graph.tasks,
        task_s=float(np.median(graph.duration_ps[compute])) / PS_PER_S,
        actors_s=actors.makespan_s,
        stages_s=simulate(staged.graph).makespan_s,
        stages=staged.stages,
        disk_bytes=staged.disk_bytes,
        dispatch_s=dispatch_s,
        central_s=tuple(central.simulate(graph, s).makespan_s for s in schedulers),
        bottlenecks=tuple(_bottleneck(kind, program, actors, s) for s in schedulers),
    )


def disk() -> stages.Disk:
    """Return the disks of a machine of 2017; a stage begins when its tasks have been sent out."""
    host = cluster_facts(DISK_OF).host
    assert host is not None, DISK_OF
    assert host.disk_gb_per_s is not None, DISK_OF
    return stages.Disk(
        bandwidth_bytes_per_s=host.disk_gb_per_s * GB, stage_s=WORKERS * (DASK_S + _message_s())
    )


def scheduler(dispatch_s: float) -> central.Scheduler:
    """Return a central scheduler that sits at the same switch."""
    return central.Scheduler(dispatch_ps=to_ps(dispatch_s), message_ps=to_ps(_message_s()))


def settings() -> dict[str, object]:
    """Return what all cases have in common, as JSON types."""
    return {
        "model": MODEL,
        "workers": WORKERS,
        "samples_of_a_worker": SAMPLES,
        "link": LINK,
        "message_s": _message_s(),
        "disk": disk(),
        "kinds": list(KINDS),
    }


def _message_s() -> float:
    """An order and a report: two messages that carry next to nothing."""
    return 2 * flat_network(LINK, KINDS[0].device, WORKERS).latency_s


def _bottleneck(
    kind: Kind, program: Program, actors: Timeline, scheduler: central.Scheduler
) -> str:
    """Return whose work alone would take longest.

    Work that nobody can be spared: of the scheduler all its decisions, of the busiest compute lane
    its launches and orders, and what else it does, of the busiest network lane its transfers.
    """
    graph = program.graph
    busy_ps = actors.lane_busy_ps(graph)
    is_compute = np.array([isinstance(info, ComputeTask) for info in program.tasks])
    first_lane = graph.lane_idx[graph.lane_ptr[:-1]]
    counts = np.bincount(first_lane[is_compute], minlength=len(busy_ps))
    on_network = np.zeros(len(busy_ps), dtype=bool)
    for task in np.flatnonzero(~is_compute):
        on_network[graph.row("lane", int(task))] = True
    on_network &= counts == 0
    launches_ps = counts * to_ps(kind.launch_s)
    works = {
        "compute": int((busy_ps - launches_ps)[counts > 0].max()),
        "launch": int((launches_ps + counts * scheduler.message_ps).max()),
        "network": int(busy_ps[on_network].max(initial=0)),
        "scheduler": scheduler.busy_ps(graph),
    }
    return max(works, key=works.__getitem__)

"""Memory planned before the run, or found during it: who finishes, who runs out, who hangs.

Static: every register has its slots, and an arena holds them all. A step fits or it does not, which
is known before it starts. Dynamic: the same tasks allocate what they write when they start and free
it when the last reader ends. Nothing but memory bounds how far they run ahead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hwprofiles.costs import CostBook
from hwprofiles.errors import DeadlockError, MemoryExhausted
from planner.lower import lower
from planner.model import load_model
from planner.network import flat_network
from planner.plan import Plan, Training
from planner.program import Program
from sim import heap_memory
from sim.checks import peak_live_bytes
from sim.engine import simulate
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline

LINK, DEVICE = "ethernet-100g", "v100-sxm2-16g"
FINISHED, EXHAUSTED, DEADLOCK = "finished", "out of memory", "deadlock"
STATIC, LEAN, DYNAMIC, WAITING = "static", "static, 1 slot", "dynamic", "dynamic, waits"
"""The plan as it is; the same with one slot a register; an allocation that fails ends the run; it
waits for others to free memory."""
SHARES = (0.7, 0.85, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""Memory of a device as shares of the live peak of the static plan."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A model in training: so many microbatches a step on each of some workers."""

    model: str
    workers: int
    microbatch: int
    microbatches: int
    slots: int
    """Of inputs and of activations: how many microbatches may be under way in a static plan."""

    @property
    def label(self) -> str:
        """Name for a picture."""
        workers = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{self.model}: {self.microbatches} microbatches of {self.microbatch}{workers}"


JOBS = (
    Job(model="lenet-5", workers=1, microbatch=32, microbatches=48, slots=2),
    Job(model="alexnet", workers=2, microbatch=32, microbatches=8, slots=2),
    Job(model="resnet-50", workers=1, microbatch=32, microbatches=4, slots=2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step with so much memory."""

    policy: str
    memory_bytes: int
    share: float
    """Of the live peak of the static plan."""
    result: str
    step_s: float | None
    """None where it does not finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One job under all policies."""

    job: Job
    arena_bytes: int
    """What the static plan sets aside on the fullest device."""
    live_peak_bytes: int
    """The most that is alive at once in the static run: no allocator needs less for this order."""
    dynamic_bytes: int
    """What first fit needs if there is as much memory as it asks for."""
    lean_bytes: int
    """The arena of the same plan with one slot a register."""
    static_s: float
    lean_s: float
    outcomes: tuple[Outcome, ...]


def memory_policies(
    jobs: Sequence[Job] = JOBS,
    shares: Sequence[float] = SHARES,
    progress: Progress = lambda done, total: None,
) -> tuple[Memory, ...]:
    """Return what becomes of each job under each policy with each amount of memory."""
    found = []
    for job in jobs:
        found.append(_memory(job, shares))
        progress(len(found), len(jobs))
    return tuple(found)


def job_program(job: Job) -> Program:
    """Lower one step of a job."""
    cluster = flat_network(LINK, DEVICE, max(2, job.workers)).cluster(max(2, job.workers))
    plan = Plan(
        workers=job.workers,
        microbatch=job.microbatch,
        placement=tuple(range(job.workers)),
        algorithm="ring" if job.workers > 1 else "none",
        bucket_bytes=25 << 20,
        overlap=job.workers > 1,
        input_slots=job.slots,
        activation_slots=job.slots,
    )
    training = Training(batch=job.workers * job.microbatch * job.microbatches)
    books = {d.name: CostBook(device=d, ops={}) for d in cluster.devices}
    return lower(load_model(job.model), training, plan, cluster, books)


def _memory(job: Job, shares: Sequence[float]) -> Memory:
    graph, arena_bytes, static = _planned(job)
    _, lean_bytes, lean = _planned(replace(job, slots=1))
    peak_bytes = _live_peak(graph, static)
    everything = int(graph.register_bytes[graph.out_idx].sum()) + arena_bytes
    _, dynamic_bytes = heap_memory.simulate(graph, everything, waits=False)
    outcomes = []
    for share in shares:
        memory_bytes = round(peak_bytes * share)
        results = {
            STATIC: (FINISHED, static) if memory_bytes >= arena_bytes else (EXHAUSTED, None),
            LEAN: (FINISHED, lean) if memory_bytes >= lean_bytes else (EXHAUSTED, None),
            DYNAMIC: _dynamic(graph, memory_bytes, waits=False),
            WAITING: _dynamic(graph, memory_bytes, waits=True),
        }
        outcomes += [
            Outcome(
                policy=policy,
                memory_bytes=memory_bytes,
                share=share,
                result=result,
                step_s=timeline.makespan_s if timeline else None,
            )
            for policy, (result, timeline) in results.items()
        ]
    return Memory(
        job=job,
        arena_bytes=arena_bytes,
        live_peak_bytes=peak_bytes,
        dynamic_bytes=dynamic_bytes,
        lean_bytes=lean_bytes,
        static_s=static.makespan_s,
        lean_s=lean.makespan_s,
        outcomes=tuple(outcomes),
    )


def _planned(job: Job) -> tuple[TaskGraph, int, Timeline]:
    """Return the step of a job, the arena of its fullest worker, and its run."""
    program = job_program(job)
    arena_bytes = max(program.arena_bytes(rank) for rank in range(program.ranks))
    return program.graph, arena_bytes, simulate(program.graph)


def _dynamic(graph: TaskGraph, memory_bytes: int, *, waits: bool) -> tuple[str, Timeline | None]:
    try:
        return FINISHED, heap_memory.simulate(graph, memory_bytes, waits=waits)[0]
    except MemoryExhausted:
        return EXHAUSTED, None
    except DeadlockError:
        return DEADLOCK, None


def _live_peak(graph: TaskGraph, timeline: Timeline) -> int:
    """Return the most that is alive at once on a device, what is always there included."""
    live = peak_live_bytes(graph, timeline)
    resident = heap_memory.resident_bytes(graph)
    return max(int(live[device]) + size for device, size in resident.items())

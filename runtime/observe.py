"""Looking closer at a trained worker: every task inside a step, and every task alone."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from planner.opcall import OpCall
from planner.program import ComputeTask
from runtime.backends import Backend
from runtime.bind import Worker
from runtime.op_timer import time_runs
from runtime.timing import COLD_BYTES, Sweeper, cooler, message_loop, repeat
from runtime.voice import Voice

SOLO_ROUNDS, SOLO_S = 12, 1.0
"""Repeats of each task alone, fewer where all of it takes longer; the median counts."""
LEAST_ROUNDS = 3
SOLO_BLOCKS = 3
"""Of each task on a device."""
ALIKE_S = 2.0
"""Spent on the tasks of one op call; those that are left take as long as the median of these."""
LOADED = ("x", "labels", "raw")
"""Registers that hold the records of the last step to the end, as those of a pipeline do."""
PLAUSIBLE = np.abs(np.random.default_rng(0).normal(1, 0.1, 1 << 14))
"""Values of activations; as bytes of a mask they are 0 and 1."""


def traced(
    worker: Worker, first_step: int, steps: int, comm: Any, voice: Voice
) -> dict[str, Any] | None:
    """Run ``steps`` traced steps; return by task the median duration, and the last step's times.

    A transfer starts when both ends have posted it and ends when both have seen it complete. What
    no rank runs, the stages of an input pipeline, takes no time at the start.
    """
    if not steps:
        return None
    starts, ends = [], []
    clock = _DeviceClock(worker)
    for i in range(steps):
        worker.step[0] = first_step + i
        comm.Barrier()
        start_ns, end_ns = clock.run()
        voice.marks += 1
        starts.append(start_ns)
        ends.append(end_ns)
    gathered = comm.gather((worker.tasks, np.array(starts), np.array(ends)))
    if gathered is None:
        return None
    tasks = len(worker.program.tasks)
    start = np.full((steps, tasks), np.iinfo(np.int64).min)
    end = np.full((steps, tasks), np.iinfo(np.int64).min)
    for mine, s, e in gathered:
        start[:, mine] = np.maximum(start[:, mine], s)
        end[:, mine] = np.maximum(end[:, mine], e)
    seen = sorted({task for mine, _, _ in gathered for task in mine})
    zero = start[:, seen].min(axis=1, keepdims=True)
    unseen = np.setdiff1d(np.arange(tasks), seen)
    start[:, unseen] = end[:, unseen] = zero
    typical = int(np.argsort(end.max(axis=1) - zero[:, 0])[steps // 2])
    return {
        "median_s": (np.median(end - start, axis=0) / 1e9).tolist(),
        "start_s": ((start - zero)[typical] / 1e9).tolist(),
        "end_s": ((end - zero)[typical] / 1e9).tolist(),
        "issue_s": float(np.median(clock.issue_s)),
    }


class _DeviceClock:
    """Steps of a worker with the times of all its tasks, by the clock of the host.

    A host does a task when it is called. A device does it later, so its own moments are noted
    around each, and set on the host's clock where a step begins, when the device has nothing to do.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker, self._device = worker, worker.device
        self._moments: dict[int, tuple[Any, Any]] = {}
        self.issue_s: list[float] = []
        """By step: what the host took in the loop, without what it waited for others."""
        self._loop = worker.loop if worker.device.is_host else worker.loop.with_fires(self._around)

    def _around(self, task: int, fire: Callable[[], object]) -> Callable[[], object]:
        def noted() -> None:
            begin = self._device.now()
            fire()
            self._moments[task] = (begin, self._device.now())

        return noted

    def run(self) -> tuple[list[int], list[int]]:
        """Run one step; return start and end of each firing, ns."""
        self._device.finish()
        loop = self._loop
        idle_ns = loop.waited_ns + loop.stall_ns
        zero, zero_ns = self._device.now(), time.perf_counter_ns()
        loop.run(traced=True)
        idle_ns = loop.waited_ns + loop.stall_ns - idle_ns
        self.issue_s.append((time.perf_counter_ns() - zero_ns - idle_ns) / 1e9)
        self._device.finish()
        start_ns, end_ns = list(self._loop.start_ns), list(self._loop.end_ns)
        for task, (begin, end) in self._moments.items():
            start_ns[task] = zero_ns + round(begin.seconds_since(zero) * 1e9)
            end_ns[task] = zero_ns + round(end.seconds_since(zero) * 1e9)
        return start_ns, end_ns


def solo(worker: Worker, comm: Any, voice: Voice, by: Backend) -> dict[int, float]:
    """Median seconds of each task alone, on the worker's own arrays, as cold as in calibration.

    Ranks run their n-th kernel at the same time. Tasks of one op call stand in a row, and where a
    large model has many of them, the first few are timed for all. The values in the arena are
    spoilt by this, so it comes last.
    """
    found: dict[int, float] = {}
    infos = worker.program.tasks
    kernels = _alike_together(worker)
    local = {task: i for i, task in enumerate(worker.tasks)}
    alone_s = _on_host(worker, by) if worker.device.is_host else _on_device(worker)
    alike: dict[OpCall, list[float]] = {}
    spent_s = 0.0
    for position in range(comm.allreduce(len(kernels), op=_max())):
        is_enough = comm.allreduce(spent_s, op=_max()) > ALIKE_S  # one answer on all ranks
        voice.marks += 1
        if position < len(kernels):
            task = kernels[position]
            info, fire = infos[task], worker.fires[local[task]]
            assert isinstance(info, ComputeTask)
            assert fire is not None
            if info.call not in alike:
                alike[info.call], spent_s = [], 0.0
            elif is_enough:
                found[task] = float(np.median(alike[info.call]))
                continue
            began = time.perf_counter()
            found[task] = alone_s(info, fire)
            alike[info.call].append(found[task])
            spent_s += time.perf_counter() - began
    sweep = Sweeper(COLD_BYTES)
    groups = worker.messages.alone(worker.program)
    seconds = np.zeros((SOLO_ROUNDS, len(groups)))
    for i, number in np.ndindex(seconds.shape):
        loop = message_loop(
            [worker.requests[local[task]] for task in groups[number] if task in local]
        )
        voice.marks += 1
        sweep()
        comm.Barrier()
        start = time.perf_counter_ns()
        loop.run()
        seconds[i, number] = (time.perf_counter_ns() - start) / 1e9
    for group, median_s in zip(groups, np.median(seconds, axis=0).tolist(), strict=True):
        found |= {task: median_s for task in group if task in local}
    return found


Alone = Callable[[ComputeTask, Callable[[], object]], float]
"""Median seconds of a task alone."""


def _on_host(worker: Worker, by: Backend) -> Alone:
    """Return what times a task on a core, as cold as a step finds it."""
    cool = lru_cache(1)(lambda call: cooler(call, by=by))  # it holds arrays of the op's size

    def alone_s(info: ComputeTask, fire: Callable[[], object]) -> float:
        _fill_operands(worker, info)
        arrays = [worker.array(view) for view in info.views]
        fresh = [arrays[i] for i in info.call.fresh]
        return _alone_s(fire, cool(info.call), fresh, _written_over(info.call, arrays))

    return alone_s


def _on_device(worker: Worker) -> Alone:
    """Return what times a task on a device, blocks of calls one behind the other."""
    return lambda info, fire: float(np.median(time_runs(worker.device, [fire], SOLO_BLOCKS)[0]))


def _alike_together(worker: Worker) -> list[int]:
    """Return the kernel tasks, those of one op call in a row, calls in the order of the step."""
    kernels: dict[OpCall, list[int]] = {}
    for task in worker.tasks:
        info = worker.program.tasks[task]
        if isinstance(info, ComputeTask):
            kernels.setdefault(info.call, []).append(task)
    return [task for alike in kernels.values() for task in alike]


def _written_over(call: OpCall, arrays: list[Any]) -> list[Any]:
    """Return the arrays that a task both reads and writes: updated, or worked on in place."""
    first = len(call.reads) + len(call.updates)
    read, updated, written = arrays[:first], arrays[len(call.reads) : first], arrays[first:]
    return updated + [a for a in read if any(np.may_share_memory(a, w) for w in written)]


def _fill_operands(worker: Worker, info: ComputeTask) -> None:
    """Give plausible values to what a task reads of the passes: others use those bytes too.

    Numbers too small to be normal, or none, would slow its arithmetic down.
    """
    call = info.call
    for view, tensor in zip(info.views, call.tensors, strict=True):
        is_loaded = view.register in LOADED or worker.is_fed(view.register)
        is_read = tensor in (*call.reads, *call.updates)
        if view.register in worker.kept or is_loaded or not is_read:
            continue
        repeat(PLAUSIBLE, worker.arena.view(view))


def _alone_s(
    fire: Callable[[], object],
    cool: Callable[[], None],
    fresh: list[Any],
    written_over: list[Any],
) -> float:
    """Median seconds of a task, each time on the values that it found the first time.

    A gate that works in place would else shrink its maps round by round, down to numbers that a CPU
    is slow with.
    """
    seconds = []
    kept = [array.copy() for array in written_over]
    began = time.perf_counter()
    for done in range(SOLO_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - began > SOLO_S:
            break
        for array, values in zip(written_over, kept, strict=True):
            np.copyto(array, values)
        cool()
        for array in fresh:
            np.positive(array, out=array)
        start = time.perf_counter_ns()
        fire()
        seconds.append((time.perf_counter_ns() - start) / 1e9)
    return float(np.median(seconds))


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX

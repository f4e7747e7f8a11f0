"""Looking closer at a trained worker: every task inside a step, and every task alone."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from planner.opcall import OpCall
from planner.program import ComputeTask, TransferTask
from runtime.backends import Backend
from runtime.bind import Worker
from runtime.timing import COLD_BYTES, Sweeper, cooler, repeat
from runtime.voice import Voice

SOLO_ROUNDS, SOLO_S = 12, 1.0
"""Repeats of each task alone, fewer where all of it takes longer; the median counts."""
LEAST_ROUNDS = 3
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
    for i in range(steps):
        worker.step[0] = first_step + i
        comm.Barrier()
        worker.loop.run(traced=True)
        voice.marks += 1
        starts.append(list(worker.loop.start_ns))
        ends.append(list(worker.loop.end_ns))
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
    }


def solo(worker: Worker, comm: Any, voice: Voice, by: Backend, steps: int) -> dict[int, float]:
    """Median seconds of each task alone, on the worker's own arrays, as cold as in calibration.

    Ranks run their n-th kernel at the same time. Tasks of one op call stand in a row, and where a
    large model has many of them, the first few are timed for all. The values in the arena are
    spoilt by this, so it comes last, after so many ``steps``.
    """
    found: dict[int, float] = {}
    cool = lru_cache(1)(lambda call: cooler(call, by=by))  # it holds arrays of the op's size
    infos = worker.program.tasks
    kernels = _alike_together(worker)
    local = {task: i for i, task in enumerate(worker.tasks)}
    alike: dict[OpCall, list[float]] = {}
    spent_s = 0.0
    most = comm.allreduce(len(kernels), op=_max())
    for position in range(most):
        is_enough = comm.allreduce(spent_s, op=_max()) > ALIKE_S  # one answer on all ranks
        voice.at(steps + position + 1, steps + most)
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
            _fill_operands(worker, info)
            arrays = [worker.array(view) for view in info.views]
            fresh = [arrays[i] for i in info.call.fresh]
            written_over = _written_over(info.call, arrays)
            found[task] = _alone_s(fire, cool(info.call), fresh, written_over)
            alike[info.call].append(found[task])
            spent_s += time.perf_counter() - began
    sweep = Sweeper(COLD_BYTES)
    for task, transfer in enumerate(infos):
        if not isinstance(transfer, TransferTask):
            continue
        request = worker.requests[local[task]] if task in local else None
        seconds = []
        voice.marks += 1
        for _ in range(SOLO_ROUNDS):
            sweep()
            comm.Barrier()
            start = time.perf_counter_ns()
            if request is not None:
                request.Start()
                while not request.Test():
                    pass
            seconds.append((time.perf_counter_ns() - start) / 1e9)
        if request is not None:
            found[task] = float(np.median(seconds))
    return found


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

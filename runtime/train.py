"""Training on one rank: the bound program, step after step, timed plain, traced and op by op."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwprofiles.errors import PlanError, RecordError
from planner.layer import INPUT
from planner.lower import lower
from planner.model import ModelGraph, load_model
from planner.opsets import sentinels
from planner.plan import Training, parameter_offsets
from planner.program import ComputeTask, View
from planner.records import PlanFile, RankedPlan, parse_record
from runtime.arena import Array
from runtime.bind import Worker, bind
from runtime.drift import refuse_drift
from runtime.initial import initial_parameters
from runtime.kernels import kernel
from runtime.launch import ProgressPrinter
from runtime.records import RecordFile
from runtime.timing import COLD_BYTES, Sweeper, time_sentinels

SOLO_ROUNDS = 12
"""Repeats of each task alone; the median counts."""


def train_ranks(job: dict[str, Any], comm: Any) -> dict[str, Any] | None:
    """Run the job's plan on this rank; rank 0 returns what was measured.

    The job holds the plan file (as it was checked, hand edits predicted anew), which plan of it to
    run, the record files, and how many steps to warm up, time and trace.
    """
    plans = parse_record(job["plans"], PlanFile, "plan file")
    ranked, training, model = plans.plans[job["pick"]], plans.training, load_model(plans.model)
    worker, records = _prepare(plans, ranked, job, comm)
    before = time_sentinels(sentinels(), comm) if job["sentinels"] else {}
    refuse_drift(job["expected"], before)
    total = job["warmup"] + job["steps"]
    seconds, losses = _steps(worker, total, comm, model, ranked, training)
    seconds = comm.gather(seconds[job["warmup"] :])
    losses = comm.gather(losses)
    digest = hashlib.sha256(_flat(worker, "parameters").tobytes()).hexdigest()
    digests = comm.gather(digest)
    intact = comm.gather(worker.arena.is_intact)
    sizes = comm.gather(worker.arena.size_bytes)
    # before the traced steps, which train on: losses, accuracy and parameters are of one moment
    accuracy = _accuracy(worker, model, training, Path(job["test"])) if comm.rank == 0 else None
    if comm.rank == 0 and job["parameters"]:
        np.save(job["parameters"], _layer_order(model, _flat(worker, "parameters")))
    traced = _traced(worker, total, job["traced"], comm)
    solo = _solo(worker, comm) if job["solo"] else {}
    solo_all = comm.gather(solo)
    after = time_sentinels(sentinels(), comm) if job["sentinels"] else {}
    records.close()
    if comm.rank:
        return None
    if len(set(digests)) > 1:
        raise PlanError(
            f"plan {ranked.label!r}: after {total} steps the workers hold different parameters; a"
            " bug of the exchange"
        )
    return {
        "seconds": np.mean(seconds, axis=0).tolist(),
        "losses": np.sum(losses, axis=0).tolist(),
        "training_s": float(np.sum(seconds[0])),
        "sentinels_before": before,
        "sentinels_after": after,
        "accuracy": accuracy,
        "parameters_sha256": digest,
        "arena_bytes": sizes,
        "arena_intact": all(intact),
        "traced": traced,
        "solo": {str(k): v for part in solo_all for k, v in part.items()},
    }


def _prepare(
    plans: PlanFile, ranked: RankedPlan, job: dict[str, Any], comm: Any
) -> tuple[Worker, RecordFile]:
    """Lower, compare with the plan file, allocate, bind, and set the first parameters."""
    model, training, plan = load_model(plans.model), plans.training, ranked.plan
    machine = plans.to_machine()
    program = lower(
        model, training, plan, machine.cluster(plan.workers), machine.books(plan.workers)
    )
    if program.graph.sha256() != ranked.prediction.graph_sha256:
        raise RecordError(
            f"plan {ranked.label!r}: lowers to another task graph than the one it was predicted"
            " with; plan again with this version"
        )
    records = RecordFile(Path(job["train"]))
    per_worker = training.batch // plan.workers
    whole = max(1, records.count // training.batch)

    def fetch(step: int, microbatch: int, raw: Array) -> None:
        first = (step % whole) * training.batch + comm.rank * per_worker
        records.read_into(first + microbatch * plan.microbatch, raw)  # type: ignore[arg-type]

    worker = bind(program, comm.rank, comm, fetch)
    flat = _flat(worker, "parameters")
    start = initial_parameters(model, training.dtype, training.seed)
    offsets, at = parameter_offsets(model), 0
    for i, layer in enumerate(model.layers):
        count = layer.parameter_count
        if count:
            flat[offsets[i] : offsets[i] + count] = start[at : at + count]
            at += count
    return worker, records


def _flat(worker: Worker, register: str) -> Any:
    """Return one of the flat arrays (parameters, gradients, momentum)."""
    view = next(
        view
        for info in worker.program.tasks
        if isinstance(info, ComputeTask) and info.phase == "update" and info.rank == worker.rank
        for view in info.views
        if view.register == register
    )
    reg = next(r for r in worker.program.registers[worker.rank] if r.name == register)
    item = np.dtype(view.dtype).itemsize
    whole = View(
        register=register,
        slot=0,
        offset_bytes=0,
        shape=(reg.slot_bytes // item,),
        dtype=view.dtype,
    )
    return worker.arena.view(whole)


def _layer_order(model: ModelGraph, flat: Any) -> Any:
    """Return the parameters in layer order, whatever order they lie in."""
    offsets = parameter_offsets(model)
    parts = [
        flat[offsets[i] : offsets[i] + layer.parameter_count]
        for i, layer in enumerate(model.layers)
        if layer.parameters
    ]
    return np.concatenate(parts)


def _steps(
    worker: Worker,
    total: int,
    comm: Any,
    model: ModelGraph,
    ranked: RankedPlan,
    training: Training,
) -> tuple[Any, Any]:
    """Run ``total`` steps; return seconds and this rank's share of the loss of each."""
    del model
    stats = [
        worker.arena.view(
            View(register="loss.stats", slot=i, offset_bytes=0, shape=(2,), dtype="float64")
        )
        for i in range(ranked.plan.microbatches(training.batch))
    ]
    seconds, losses = np.zeros(total), np.zeros(total)
    printer = ProgressPrinter(total) if comm.rank == 0 else None
    comm.Barrier()
    last = time.perf_counter_ns()
    for step in range(total):
        worker.step[0] = step
        worker.loop.run()
        losses[step] = sum(float(s[0]) for s in stats)
        now = time.perf_counter_ns()
        seconds[step] = (now - last) / 1e9
        last = now
        if printer and step % 20 == 19:
            printer.at(step + 1)
            last = time.perf_counter_ns()
    return seconds, losses


def _traced(worker: Worker, first_step: int, steps: int, comm: Any) -> dict[str, Any] | None:
    """Run ``steps`` traced steps; return by task the median duration, and the last step's times.

    A transfer starts when both ends have posted it and ends when both have seen it complete.
    """
    if not steps:
        return None
    starts, ends = [], []
    for i in range(steps):
        worker.step[0] = first_step + i
        comm.Barrier()
        worker.loop.run(traced=True)
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
    zero = start.min(axis=1, keepdims=True)
    typical = int(np.argsort(end.max(axis=1) - zero[:, 0])[steps // 2])
    return {
        "median_s": (np.median(end - start, axis=0) / 1e9).tolist(),
        "start_s": ((start - zero)[typical] / 1e9).tolist(),
        "end_s": ((end - zero)[typical] / 1e9).tolist(),
    }


def _solo(worker: Worker, comm: Any) -> dict[int, float]:
    """Median seconds of each task alone, on the worker's own arrays, as cold as in calibration.

    Ranks run their n-th kernel at the same time. The values in the arena are spoilt by this, so it
    comes last.
    """
    found: dict[int, float] = {}
    infos = worker.program.tasks
    kernels = [t for t in worker.tasks if isinstance(infos[t], ComputeTask)]
    local = {task: i for i, task in enumerate(worker.tasks)}
    for position in range(comm.allreduce(len(kernels), op=_max())):
        comm.Barrier()
        if position < len(kernels):
            task = kernels[position]
            info, fire = infos[task], worker.fires[local[task]]
            assert isinstance(info, ComputeTask)
            assert fire is not None
            fresh = [worker.arena.view(info.views[i]) for i in info.call.fresh]
            found[task] = _alone_s(fire, Sweeper(info.call.reuse_bytes), fresh)
    sweep = Sweeper(COLD_BYTES)
    for task, transfer in enumerate(infos):
        if isinstance(transfer, ComputeTask):
            continue
        request = worker.requests[local[task]] if task in local else None
        seconds = []
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


def _alone_s(fire: Callable[[], object], sweep: Sweeper, fresh: list[Any]) -> float:
    seconds = []
    for _ in range(SOLO_ROUNDS):
        sweep()
        for array in fresh:
            np.positive(array, out=array)
        start = time.perf_counter_ns()
        fire()
        seconds.append((time.perf_counter_ns() - start) / 1e9)
    return float(np.median(seconds))


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX


def _accuracy(worker: Worker, model: ModelGraph, training: Training, path: Path) -> float:
    """Share of the test records that the trained parameters get right."""
    flat = _flat(worker, "parameters")
    offsets = parameter_offsets(model)
    with RecordFile(path) as records:
        count = records.count
        from planner.steps import load

        call = load(model, count, training.dtype)
        arrays = {t.name: np.zeros(t.shape, t.dtype) for t in call.writes}
        kernel(call.kernel)(
            *arrays.values(),
            **dict(call.attrs),
            fetch=lambda raw: records.read_into(0, raw),
        )
    values = {INPUT: arrays["x"]}
    for i, layer in enumerate(model.layers):
        forward = layer.call("forward", count, training.dtype)
        at, parameters = offsets.get(i, 0), {}
        for name, shape in layer.parameters.items():
            size = int(np.prod(shape))
            parameters[name] = flat[at : at + size].reshape(shape)
            at += size
        inputs = {n: values[name] for n, name in zip(layer.input_names, layer.inputs, strict=True)}
        reads = [{**inputs, **parameters}[t.name] for t in forward.reads]
        writes = [np.zeros(t.shape, t.dtype) for t in forward.writes]
        work = [np.empty(t.shape, t.dtype) for t in forward.work]
        kernel(forward.kernel)(*reads, *writes, *work, **dict(forward.attrs))
        values[layer.name] = writes[0]
    logits = values[model.layers[-1].name]
    return float((logits.argmax(axis=1) == arrays["labels"]).mean())

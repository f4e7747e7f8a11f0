"""Training on one rank: the bound program, step after step, timed, and kept where it is asked."""

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from hwprofiles.errors import PlanError, RecordError
from planner.calls import StepCalls
from planner.jsonable import to_jsonable
from planner.lower import lower
from planner.model import ModelGraph, load_model
from planner.opsets import sentinels
from planner.plan import Training, parameter_offsets
from planner.program import ComputeTask, View
from planner.records import PlanFile, RankedPlan, parse_record
from runtime.arena import Array
from runtime.backends import backend
from runtime.bind import Worker, bind
from runtime.checkpoint import Keeper, State, read_checkpoint, write_checkpoint
from runtime.drift import refuse_drift
from runtime.evaluate import evaluate
from runtime.feed import Feed
from runtime.initial import initial_parameters
from runtime.kernels import Stream
from runtime.meter import Meter
from runtime.observe import solo, traced
from runtime.order import Order
from runtime.proof import prove_arena
from runtime.records import RecordFile, check_source
from runtime.replay import Replayed
from runtime.timing import time_sentinels
from runtime.voice import PROGRESS_S, Voice


def train_ranks(job: dict[str, Any], comm: Any, voice: Voice) -> dict[str, Any] | None:
    """Run the job's plan on this rank; rank 0 returns what was measured.

    The job holds the plan file (as it was checked, hand edits predicted anew), which plan of it to
    run, the record files, how many steps to warm up, time and trace, and which checkpoints to write
    and to begin with.
    """
    plans = parse_record(job["plans"], PlanFile, "plan file")
    ranked = plans.plans[job["pick"]]
    total = job["warmup"] + job["steps"]
    with RecordFile(Path(job["train"])) as records:
        keeper = Keeper.of(job.get("checkpoints"), _belongs(plans, ranked, records))
    state = _stored(total, comm, keeper)
    if (replayed := job.get("replay")) is not None:
        comm = Replayed(replayed)
    worker, records = _prepare(plans, ranked, job, comm, state.step if state else 0)
    with records, worker.feed or contextlib.nullcontext():
        return _train(worker, plans, ranked, job, comm, voice, keeper, state)


def _train(  # noqa: PLR0913 - what the job names, and where to begin
    worker: Worker,
    plans: PlanFile,
    ranked: RankedPlan,
    job: dict[str, Any],
    comm: Any,
    voice: Voice,
    keeper: Keeper | None,
    state: State | None,
) -> dict[str, Any] | None:
    """Train, measure and look closer, on a bound worker."""
    training, model = plans.training, load_model(plans.model)
    total = job["warmup"] + job["steps"]
    by = backend(job.get("backend", "numpy"))
    before = time_sentinels(sentinels(), comm, by) if job["sentinels"] else {}
    refuse_drift(job["expected"], before)
    begin = state.step if state else 0
    beside = comm.gather(prove_arena(worker, comm, voice, begin)) if job.get("prove") else None
    first, losses = _resume(worker, total, comm, state)
    stats = _stats(worker, ranked.plan.microbatches(training.batch))
    # a resumed run may have fewer steps left than there are to warm up
    meter = Meter(worker, first + min(job["warmup"], total - first - 1))
    seconds = _steps(worker, first, losses, stats, comm, voice, keeper, meter)
    seconds = comm.gather(seconds[meter.first - first :])
    inputs = comm.gather(meter.found())
    losses = comm.gather(losses)
    digest = hashlib.sha256(_flat(worker, "parameters").tobytes()).hexdigest()
    digests = comm.gather(digest)
    intact = comm.gather(worker.arena.is_intact)
    sizes = comm.gather(worker.arena.size_bytes)
    # before the traced steps, which train on: losses, accuracy and parameters are of one moment
    tested: tuple[float | None, float | None] = (None, None)
    if comm.rank == 0 and not isinstance(comm, Replayed):
        trained = _layer_order(model, _flat(worker, "parameters"))
        tested = evaluate(model, training.dtype, trained, Path(job["test"]))
        if job["parameters"]:
            np.save(job["parameters"], trained)
    inside = traced(worker, total, job["traced"], comm, voice)
    alone = comm.gather(solo(worker, comm, voice, by, total) if job["solo"] else {})
    after = time_sentinels(sentinels(), comm, by) if job["sentinels"] else {}
    if comm.rank:
        return None
    if len(set(digests)) > 1:
        raise PlanError(
            f"plan {ranked.label!r}: after {total} steps the workers hold different parameters; a"
            " bug of the exchange"
        )
    return {
        "library": by.library,
        "exempt": by.allocates,
        "seconds": np.mean(seconds, axis=0).tolist(),
        # of a rank whose peers are not there: it does not train
        "losses": [] if isinstance(comm, Replayed) else np.sum(losses, axis=0).tolist(),
        "input": inputs,
        "training_s": float(np.sum(seconds[0])),
        "sentinels_before": before,
        "sentinels_after": after,
        "test_loss": tested[0],
        "accuracy": tested[1],
        "parameters_sha256": digest,
        "arena_bytes": sizes,
        "arena_intact": all(intact),
        "beside_arena_bytes": beside,
        "traced": inside,
        "solo": {str(k): v for part in alone for k, v in part.items()},
    }


def _prepare(
    plans: PlanFile, ranked: RankedPlan, job: dict[str, Any], comm: Any, first: int = 0
) -> tuple[Worker, RecordFile]:
    """Lower, compare with the plan file, allocate, bind, and set the first parameters.

    An input pipeline begins with step ``first``.
    """
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
    rank = comm.rank
    if isinstance(comm, Replayed):
        rank = comm.stands_for
        device = machine.cluster(plan.workers).devices[plan.placement[rank]]
        comm.foretell(program, holds=device.transfers_hold_compute)
    records = RecordFile(Path(job["train"]))
    check_source(records, training.source, model.record_bytes)
    if training.source.cold:
        records.drop()
    order = Order(
        records=records.count,
        batch=training.batch,
        rank=rank,
        workers=plan.workers,
        microbatch=plan.microbatch,
    )
    feed, calls = None, StepCalls.of(model, training, plan).inputs
    if calls:
        path, cores = Path(job["train"]), job.get("cores", [])
        feed = Feed(calls, plan, training.source, path, order, cores, first)
    fetch, stream = _supply(training, order, records)
    by = backend(job.get("backend", "numpy"))
    worker = bind(program, rank, comm, fetch, stream, feed, by.device)
    flat = _flat(worker, "parameters")
    start = initial_parameters(model, training.dtype, training.seed)
    offsets, at = parameter_offsets(model), 0
    for i, layer in enumerate(model.layers):
        count = layer.parameter_count
        if count:
            flat[offsets[i] : offsets[i] + count] = start[at : at + count]
            at += count
    return worker, records


def _supply(
    training: Training, order: Order, records: RecordFile
) -> tuple[Callable[[int, int, Array], None], Callable[[int, int, str], Stream]]:
    """Return how a rank reads records, and what its random numbers depend on."""

    def fetch(step: int, microbatch: int, raw: Array) -> None:
        records.read_into(order.first(step, microbatch), raw)  # type: ignore[arg-type]

    def stream(step: int, microbatch: int, task: str) -> Stream:
        return Stream(training.seed, step, crc32(task.encode()), order.place(microbatch))

    return fetch, stream


def _flat(worker: Worker, register: str) -> Any:
    """Return one of the flat arrays (parameters, gradients, states of the optimizer)."""
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


def _belongs(plans: PlanFile, ranked: RankedPlan, records: RecordFile) -> dict[str, Any]:
    """Return what a state of this training belongs to."""
    return {
        "model": plans.model_sha256,
        "plan": to_jsonable(ranked.plan),
        "training": to_jsonable(plans.training),
        "records": records.header.sha256,
    }


def _stored(total: int, comm: Any, keeper: Keeper | None) -> State | None:
    """Return the state of the checkpoint to begin with, which rank 0 reads for all."""
    state: State | None = None
    if keeper and keeper.resume:
        if comm.rank == 0:
            state = read_checkpoint(keeper.resume, keeper.belongs)
            if state.step >= total:
                raise RecordError(
                    f"checkpoint {keeper.resume}: expected a state before step {total}, where"
                    f" --steps ends (warm-up included), got the one after {state.step}; give more"
                    " --steps"
                )
        state = comm.bcast(state)
    return state


def _resume(worker: Worker, total: int, comm: Any, state: State | None) -> tuple[int, Any]:
    """Set the state to begin with; return the first step, and all losses so far.

    What has been is told by rank 0 alone, for the losses of a step are summed over ranks.
    """
    losses = np.zeros(total)
    if state is None:
        return 0, losses
    _flat(worker, "parameters")[...] = state.parameters
    for name, array in state.optimizer.items():
        _flat(worker, name)[...] = array
    if comm.rank == 0:
        losses[: state.step] = state.losses
    return state.step, losses


def _stats(worker: Worker, microbatches: int) -> list[Array]:
    """Return where each microbatch of a step leaves its loss."""
    return [
        worker.arena.view(
            View(register="loss.stats", slot=i, offset_bytes=0, shape=(2,), dtype="float64")
        )
        for i in range(microbatches)
    ]


def _steps(  # noqa: PLR0913 - what is run, and all that looks on
    worker: Worker,
    first: int,
    losses: Any,
    stats: list[Array],
    comm: Any,
    voice: Voice,
    keeper: Keeper | None,
    meter: Meter,
) -> Any:
    """Run steps from ``first`` on, note this rank's share of each loss; return their seconds."""
    total = len(losses)
    seconds = np.zeros(total - first)
    comm.Barrier()
    last = time.perf_counter_ns()
    for step in range(first, total):
        worker.step[0] = step
        meter.at(step)
        worker.loop.run()
        losses[step] = sum(float(s[0]) for s in stats)
        now = time.perf_counter_ns()
        seconds[step - first] = (now - last) / 1e9
        last = now
        voice.marks += 1
        if step % 20 == 19 or seconds[step - first] > PROGRESS_S:
            voice.at(step + 1, total)
            last = time.perf_counter_ns()
        if keeper and keeper.is_due(step + 1, total):
            _keep(worker, losses[: step + 1], comm, keeper)
            last = time.perf_counter_ns()
    meter.at(total)
    return seconds


def _keep(worker: Worker, losses: Any, comm: Any, keeper: Keeper) -> None:
    """Write a checkpoint on rank 0, whose state is that of all; the others wait, untimed."""
    shares = comm.gather(losses)
    if comm.rank == 0:
        registers = worker.program.registers[0]
        states = [register.name for register in registers if register.category == "optimizer"]
        state = State(
            step=len(losses),
            parameters=_flat(worker, "parameters"),
            optimizer={name: _flat(worker, name) for name in states},
            losses=np.sum(shares, axis=0),
        )
        write_checkpoint(keeper.folder, state, keeper.belongs)
    comm.Barrier()

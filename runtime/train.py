"""Training on one rank: the bound program, step after step, timed, and kept where it is asked."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from hwprofiles.errors import PlanError, RecordError
from planner.calls import StepCalls
from planner.jsonable import to_jsonable
from planner.lower import lower
from planner.model import load_model
from planner.opsets import sentinels
from planner.plan import Training
from planner.records import PlanFile, RankedPlan, parse_record
from runtime.actors import POLLS_BEFORE_YIELD
from runtime.arena import Array
from runtime.backends import Backend, backend
from runtime.bind import Worker, bind
from runtime.checkpoint import Keeper, State, read_checkpoint
from runtime.device import Device
from runtime.drift import refuse_drift
from runtime.evaluate import evaluate
from runtime.feed import Feed
from runtime.kernels import Stream
from runtime.meter import Meter
from runtime.observe import solo, traced
from runtime.order import Order
from runtime.parameters import read, set_first
from runtime.patience import Patient
from runtime.prefetch import Prefetch
from runtime.proof import prove_arena
from runtime.records import RecordFile, check_source
from runtime.replay import Replayed
from runtime.run import Run
from runtime.timing import time_sentinels
from runtime.voice import Voice

READ_AHEAD = 2
"""Firings whose records are read before they are asked for, for a device: one lands, one leaves."""


def train_ranks(job: dict[str, Any], comm: Any, voice: Voice) -> dict[str, Any] | None:
    """Run the job's plan on this rank; rank 0 returns what was measured.

    The job holds the plan file (as it was checked, hand edits predicted anew), which plan of it to
    run, the record files, how many steps to warm up, time and trace, and which checkpoints to write
    and to begin with.
    """
    plans = parse_record(job["plans"], PlanFile, "plan file")
    ranked = plans.plans[job["pick"]]
    total = job["warmup"] + job["steps"]
    by = backend(job.get("backend", "numpy"))
    with RecordFile(Path(job["train"])) as records:
        keeper = Keeper.of(job.get("checkpoints"), _belongs(plans, ranked, records, by))
    state = _stored(total, comm, keeper)
    if (replayed := job.get("replay")) is not None:
        comm = Replayed(replayed)
    with contextlib.ExitStack() as open_until_done:
        begin = state.step if state else 0
        worker = _prepare(plans, ranked, job, comm, open_until_done, begin)
        return _train(worker, plans, ranked, job, comm, voice, by, keeper, state)


def _train(  # noqa: PLR0913 - what the job names, and where to begin
    worker: Worker,
    plans: PlanFile,
    ranked: RankedPlan,
    job: dict[str, Any],
    comm: Any,
    voice: Voice,
    by: Backend,
    keeper: Keeper | None,
    state: State | None,
) -> dict[str, Any] | None:
    """Train, measure and look closer, on a bound worker."""
    training, model = plans.training, load_model(plans.model)
    total = job["warmup"] + job["steps"]
    before = time_sentinels(sentinels(), comm, by) if job["sentinels"] else {}
    refuse_drift(job["expected"], before)
    begin = state.step if state else 0
    beside = comm.gather(prove_arena(worker, comm, voice, begin)) if job.get("prove") else None
    first, losses = _resume(worker, total, comm, state)
    # a resumed run may have fewer steps left than there are to warm up
    meter = Meter(worker, first + min(job["warmup"], total - first - 1))
    run = Run(worker, losses, meter)
    seconds = run.steps(first, comm, voice, keeper)
    seconds = comm.gather(seconds[meter.first - first :])
    inputs = comm.gather(meter.found())
    losses = comm.gather(run.losses(total))
    parameters = worker.device.get(worker.flat("parameters"))
    digest = hashlib.sha256(parameters.tobytes()).hexdigest()
    digests = comm.gather(digest)
    intact = comm.gather(worker.arena.is_intact)
    sizes = comm.gather(worker.arena.size_bytes)
    # before the traced steps, which train on: losses, accuracy and parameters are of one moment
    tested: tuple[float | None, float | None] = (None, None)
    if comm.rank == 0 and not isinstance(comm, Replayed):
        trained = read(worker, model, training)
        tested = evaluate(model, str(trained.dtype), trained, Path(job["test"]))
        if job["parameters"]:
            np.save(job["parameters"], trained)
    inside = traced(worker, total, job["traced"], comm, voice)
    alone = comm.gather(solo(worker, comm, voice, by) if job["solo"] else {})
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
        "notes": dict(worker.device.notes),
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
    plans: PlanFile,
    ranked: RankedPlan,
    job: dict[str, Any],
    comm: Any,
    open_until_done: contextlib.ExitStack,
    first: int = 0,
) -> Worker:
    """Lower, compare with the plan file, allocate, bind, and set the first parameters.

    What feeds the worker begins with step ``first``; it is closed with ``open_until_done``.
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
        seat = machine.cluster(plan.workers).devices[plan.placement[rank]]
        comm.foretell(program, holds=seat.transfers_hold_compute)
    records = open_until_done.enter_context(RecordFile(Path(job["train"])))
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
    device = backend(job.get("backend", "numpy")).device()
    device.compute_as(training.dtype)
    fetch = _fetch(order, records)
    if not device.is_host and not feed:
        shape = (plan.microbatch, model.record_bytes)
        ahead = _ahead(device, shape, order, records, first)
        fetch = open_until_done.enter_context(ahead).fetch
    worker = bind(program, rank, comm, fetch, _stream(training, order), feed, device)
    if isinstance(comm, Patient):
        worker.loop.polls_before_sleep = POLLS_BEFORE_YIELD
    if feed:
        open_until_done.enter_context(feed)
    set_first(worker, model, training)
    return worker


Fetch = Callable[[int, int, Array], None]


def _fetch(order: Order, records: RecordFile) -> Fetch:
    """Return how a rank reads records when a step asks for them."""

    def fetch(step: int, microbatch: int, raw: Array) -> None:
        records.read_into(order.first(step, microbatch), raw)  # type: ignore[arg-type]

    return fetch


def _ahead(
    device: Device, shape: tuple[int, int], order: Order, records: RecordFile, first: int
) -> Prefetch:
    """Return what reads the records of the next firing while a device computes this one."""

    def read_firing(firing: int, out: Any) -> None:
        step, microbatch = divmod(firing, order.rounds)
        records.read_into(order.first(first + step, microbatch), out)

    return Prefetch([device.slot(shape) for _ in range(READ_AHEAD)], read_firing)


def _stream(training: Training, order: Order) -> Callable[[int, int, str], Stream]:
    """Return what the random numbers of a firing depend on."""

    def stream(step: int, microbatch: int, task: str) -> Stream:
        return Stream(training.seed, step, crc32(task.encode()), order.place(microbatch))

    return stream


def _belongs(
    plans: PlanFile, ranked: RankedPlan, records: RecordFile, by: Backend
) -> dict[str, Any]:
    """Return what a state of this training belongs to; a backend has its own bits, and order."""
    return {
        "model": plans.model_sha256,
        "plan": to_jsonable(ranked.plan),
        "training": to_jsonable(plans.training),
        "records": records.header.sha256,
        "backend": by.name,
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
    for name, array in {"parameters": state.parameters, **state.optimizer}.items():
        worker.device.put(worker.flat(name), array)
    if comm.rank == 0:
        losses[: state.step] = state.losses
    return state.step, losses

"""``foreplan input`` as a function: give a plan an input pipeline, and say what it should have."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from foreplan.datasets import record_files
from foreplan.machines import Local, local_backend
from foreplan.planfiles import check_plan, pick_plan, read_plans
from planner.advise import advised
from planner.calls import StepCalls
from planner.input_forecast import advice, with_input
from planner.model import load_model
from planner.opcall import OpCall
from planner.plan import Plan, Source, Training
from planner.records import PlanFile, plans_sha256

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the pipeline; None leaves the plan's."""

    decode_workers: int | None = None
    prefetch: int | None = None
    throttle_bytes_per_s: float | None = None
    cold: bool | None = None
    cores: int | None = None
    """Of a host; by default those of this machine, and elsewhere as many as are wanted."""
    apply: bool = False
    """Whether to take the advice."""


def plan_input(
    path: Path,
    asked: Asked,
    *,
    pick: int = 0,
    data: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> tuple[PlanFile, str]:
    """Return one plan of a plan file with an input pipeline, predicted anew, and the advice.

    On this machine, ops of its stages that the file does not have are measured first; the record
    file in ``data`` says how its records are stored.

    Raises
    ------
    RecordError, PlanError
        When a file cannot be read, or the plan cannot be.
    """
    plans = read_plans(path)
    plan = pick_plan(plans, pick).plan
    by, model = local_backend(plans.cluster), load_model(plans.model)
    cores = asked.cores or (len(Local.here().facts.cpus) if by else 1 << 16)
    train = record_files(model, data)[0] if by or data else None
    source = _source(plans.training.source, asked, train)
    training = replace(plans.training, source=source)
    workers, slots = asked.decode_workers, asked.prefetch
    plan = with_input(
        plan,
        plans.to_machine(),
        cores,
        max(1, plan.decode_workers) if workers is None else workers,
        plan.prefetch if slots is None else slots,
    )
    if by and train:
        plans = _with_stage_ops(plans, training, plan, train, say, progress)
    elif plan.decode_workers:
        say(
            f"disk and host cores of {plans.cluster} are not known: a read takes what --throttle"
            " says, and all else of the input the time of the device's peak rates"
        )
    machine = plans.to_machine()
    if asked.apply:
        training, plan = advised(model, training, plan, machine, cores)
    ranked = check_plan(path, replace(plans, training=training), plan, machine)
    found = ranked.prediction.input
    text = advice(found, plan, cores) if found else "the step loads by itself"
    changed = replace(
        plans, training=training, plans=(ranked,), plans_sha256=plans_sha256((ranked,))
    )
    return changed, text


def _source(before: Source, asked: Asked, path: Path | None) -> Source:
    """Return how samples are stored, as the file says, and how they may be read, as is asked."""
    limit, cold = asked.throttle_bytes_per_s, asked.cold
    source = replace(
        before,
        throttle_bytes_per_s=before.throttle_bytes_per_s if limit is None else limit,
        cold=before.cold if cold is None else cold,
    )
    if path is None:
        return source
    from runtime.records import RecordFile

    with RecordFile(path) as records:
        header = records.header
    return replace(
        source,
        encoding=header.encoding,
        stored_bytes=header.stored_bytes,
        disk=path.stat().st_dev if source.cold else 0,
        content=int(header.sha256[:8], 16) if header.encoding != "raw" else 0,
    )


def _with_stage_ops(
    plans: PlanFile,
    training: Training,
    plan: Plan,
    train: Path,
    say: Callable[[str], None],
    progress: Progress,
) -> PlanFile:
    """Return the plan file with the measured ops of the stages, timing those that it lacks."""
    fed = replace(plan, decode_workers=max(1, plan.decode_workers))
    stages = StepCalls.of(load_model(plans.model), training, fed).inputs
    assert stages is not None
    record = plans.machine[plan.workers]
    known = {op.signature for ops in record.ops.values() for op in ops}
    calls: dict[str, OpCall] = {c.signature: c for c in stages.all if c.signature not in known}
    if not calls:
        return plans
    say(f"measuring {len(calls)} ops of the input on {plan.workers} workers")
    by = local_backend(plans.cluster) or "numpy"
    found = Local.here(by).calibrate(calls, plan.workers, progress, records=train).ops.values()
    (name,) = record.ops  # one kind of core
    merged = sorted((*record.ops[name], *found), key=lambda op: op.signature)
    record = replace(record, ops={name: tuple(merged)})
    return replace(plans, machine={**plans.machine, plan.workers: record})

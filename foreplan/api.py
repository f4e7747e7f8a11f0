"""The verbs as Python functions; the command line calls exactly these."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import foreplan
from foreplan.machines import Local, data_folder, load_machine
from hwprofiles.errors import PlanError, RecordError
from hwprofiles.registry import names
from planner.machine import Machine
from planner.measurement import Measurement
from planner.model import load_model
from planner.opsets import general_calls, plan_calls, space_calls
from planner.plan import Plan, Training, Verdict, verdict
from planner.predict import predict
from planner.program import ComputeTask
from planner.records import (
    SCHEMA,
    ClusterRecord,
    PlanFile,
    RankedPlan,
    cluster_record,
    plans_sha256,
    read_record,
    write_record,
)
from planner.search import search

Progress = Callable[[int, int], None]
LEAST_MICROBATCH = 4
"""Smallest microbatch whose ops ``calibrate`` times for a model; smaller ones use the curves."""
RECORD_FILES = ("digits-train.rec", "digits-test.rec")


def tool() -> str:
    """Name and version written into every file."""
    return f"foreplan {foreplan.__version__}"


def models() -> list[str]:
    """Return the names of the built-in models."""
    return [stem.replace("_", "-") for stem in names("planner.models")]


def write_digits(folder: Path | None = None, seed: int = 0) -> tuple[Path, Path]:
    """Write scikit-learn's handwritten digits as record files; return (train, test)."""
    from runtime.digits import write_digits as write

    target = data_folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    return write(target, seed)


def calibrate(
    *,
    workers: int | None = None,
    model: str | None = None,
    training: Training | None = None,
    progress: Callable[[int, int, int], None] = lambda workers, done, total: None,
) -> dict[int, int]:
    """Time ops on this machine, for each number of workers up to ``workers``.

    With ``model`` and ``training`` only the ops that plans of it use; else the general set that
    curves are fitted to. Return how many ops were timed, by number of workers.
    """
    local = Local.here()
    counts = {}
    for w in [workers] if workers else range(1, local.facts.physical_cores + 1):
        if model and training:
            calls = space_calls(load_model(model), training, w, LEAST_MICROBATCH)
        else:
            calls = general_calls(training.dtype if training else "float32")

        def step(done: int, total: int, lanes: int = w) -> None:
            progress(lanes, done, total)

        counts[w] = len(local.calibrate(calls, w, step).ops)
    return counts


def plan(
    model: str,
    cluster: str,
    training: Training,
    *,
    top: int = 5,
    budget: int = 1000,
    fixed: Mapping[str, object] | None = None,
    progress: Callable[[int, int, float], None] = lambda done, most, best_s: None,
) -> PlanFile:
    """Search the plans of ``model`` on ``cluster``; return the best with their certificate."""
    machine = load_machine(cluster)
    graph = load_model(model)
    result = search(
        graph,
        training,
        machine,
        top=top,
        budget=budget,
        fixed=dict(fixed or {}),
        progress=progress,
    )
    ranked = tuple(
        RankedPlan(label=c.plan.label, plan=c.plan, prediction=c.prediction) for c in result.best
    )
    return PlanFile(
        schema=SCHEMA,
        tool=tool(),
        model=graph.name,
        cluster=machine.name,
        training=training,
        model_sha256=graph.sha256(),
        plans=ranked,
        plans_sha256=plans_sha256(ranked),
        certificate=result.certificate,
        machine=_machine_records(machine, model, training, [c.plan for c in result.best]),
    )


def _machine_records(
    machine: Machine, model: str, training: Training, plans: list[Plan]
) -> dict[int, ClusterRecord]:
    """Copy what the plans' predictions rest on, by number of workers."""
    found = {}
    for workers in sorted({p.workers for p in plans}):
        graph = load_model(model)
        used: set[str] = set()
        for p in plans:
            if p.workers == workers:
                used |= plan_calls(graph, training, p).keys()
        key = workers if workers in machine.clusters else 0
        found[key] = cluster_record(machine, workers, used)
    return found


def read_plans(path: Path) -> PlanFile:
    """Read plan.json. Plans edited by hand are checked and predicted anew.

    Raises
    ------
    RecordError, PlanError, DeadlockError
        When the file is not a plan file, or an edited plan cannot be.
    """
    plans = read_record(path, PlanFile, "a plan file")
    model = load_model(plans.model)
    if model.sha256() != plans.model_sha256:
        raise RecordError(
            f"{path}: model {plans.model!r} has changed since this file was written; plan again"
        )
    if not plans.plans:
        raise RecordError(f"{path}: expected at least one plan, got none; plan again")
    if plans_sha256(plans.plans) == plans.plans_sha256:
        return plans
    machine = plans.to_machine()
    checked = tuple(_check_edited(path, plans, ranked.plan, machine) for ranked in plans.plans)
    return replace(plans, plans=checked, plans_sha256=plans_sha256(checked))


def _check_edited(path: Path, plans: PlanFile, edited: Plan, machine: Machine) -> RankedPlan:
    """Check one edited plan and predict it."""
    model = load_model(plans.model)
    for name in ("workers", "microbatch", "bucket_bytes"):
        if getattr(edited, name) < 1:
            raise PlanError(
                f"{path}: plan {edited.label!r}: {name} must be at least 1, got"
                f" {getattr(edited, name)}"
            )
    cluster = machine.cluster(edited.workers)
    found = verdict(model, plans.training, edited, cluster)
    if found is not Verdict.FITS:
        raise PlanError(f"{path}: plan {edited.label!r}: {found.value}; edit it again")
    placed = set(edited.placement)
    if len(placed) != edited.workers or not placed <= set(range(len(cluster.devices))):
        raise PlanError(
            f"{path}: plan {edited.label!r}: placement must name {edited.workers} different devices"
            f" of 0 to {len(cluster.devices) - 1}, got {list(edited.placement)}"
        )
    prediction, _, _ = predict(model, plans.training, edited, machine)
    return RankedPlan(label=edited.label, plan=edited, prediction=prediction)


def execute(
    path: Path,
    *,
    pick: int = 0,
    steps: int = 100,
    data: Path | None = None,
    check: bool = False,
    keep_costs: bool = False,
    gate: float = 1.0,
    executions: int | None = None,
    allow_drift: bool = False,
    oversubscribe: bool = False,
    timeout_s: float = 120.0,
    parameters: Path | None = None,
    output: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> Measurement:
    """Run one plan of a plan file for real on this machine; return predicted beside measured.

    With ``check``: calibrate the plan's own ops, predict anew, run five times between two looks at
    the sentinels, and hold the error against the claim (times ``gate``). With ``keep_costs`` the
    costs of the plan file stay, so that its fitted curves are what is tested.
    """
    from runtime.execute import EXECUTIONS, Options, measure, refuse_drift
    from runtime.execute import check as run_check

    plans = read_plans(path)
    options = Options(
        train=_records(data, 0),
        test=_records(data, 1),
        cores=_cores(plans, pick, oversubscribe),
        steps=steps,
        timeout_s=timeout_s,
        parameters=parameters,
    )
    runs = executions or (EXECUTIONS if check else 1)
    if not check:
        measured = measure(path, plans, pick, options, executions=runs, progress=progress)
        local = Local.here().calibration(plans.plans[pick].plan.workers)
        if local and plans.cluster == "local" and not allow_drift:
            refuse_drift(local, measured.executions[0].sentinels_before_s)
        return measured
    priced = _beside(output or Path("measurement.json"))

    def again() -> Measurement:
        fresh = plans if keep_costs else _calibrated(plans, pick, say, progress)
        write_record(priced, fresh)
        index = pick if keep_costs else 0
        return measure(priced, fresh, index, options, executions=runs, progress=progress)

    return run_check(again, gate=gate, say=say)


def _beside(output: Path) -> Path:
    """Where a check keeps the plan that it priced: ``x.json`` gives ``x.plan.json``."""
    return output.with_name(f"{output.stem}.plan.json")


def _records(data: Path | None, which: int) -> Path:
    path = data_folder(data) / RECORD_FILES[which]
    if not path.exists():
        raise RecordError(
            f"{path}: expected a record file to train on, found none; run `foreplan data digits`"
        )
    return path


def _cores(plans: PlanFile, pick: int, oversubscribe: bool) -> tuple[int, ...]:
    """Return the cores to pin to, refusing more workers than there are."""
    if not 0 <= pick < len(plans.plans):
        raise PlanError(
            f"--pick {pick}: the plan file has plans 0 to {len(plans.plans) - 1}; pick one of them"
        )
    cpus = Local.here().facts.cpus
    workers = plans.plans[pick].plan.workers
    if workers > len(cpus) and not oversubscribe:
        raise PlanError(
            f"plan {plans.plans[pick].label!r}: needs {workers} cores, this machine has"
            f" {len(cpus)}; pick another plan, or give --oversubscribe to share cores untimed"
        )
    return cpus[:workers]


def _calibrated(
    plans: PlanFile, pick: int, say: Callable[[str], None], progress: Progress
) -> PlanFile:
    """Time the plan's own ops one by one and predict it with them."""
    edited = plans.plans[pick].plan
    model = load_model(plans.model)
    local = Local.here()
    calls = plan_calls(model, plans.training, edited)
    say(f"calibrating {len(calls)} ops on {edited.workers} workers")
    local.calibrate(calls, edited.workers, progress)
    machine = local.machine()
    prediction, program, _ = predict(model, plans.training, edited, machine)
    ranked = (RankedPlan(label=edited.label, plan=edited, prediction=prediction),)
    used = {info.call.signature for info in program.tasks if isinstance(info, ComputeTask)}
    return replace(
        plans,
        cluster=machine.name,
        plans=ranked,
        plans_sha256=plans_sha256(ranked),
        machine={edited.workers: cluster_record(machine, edited.workers, used)},
    )


def report(plan_path: Path, measurement_path: Path | None, output: Path) -> tuple[Path, Path]:
    """Write the page and its Markdown twin; return both paths."""
    from reports.page import write_report

    plans = read_record(plan_path, PlanFile, "a plan file")
    measured = (
        read_record(measurement_path, Measurement, "a measurement file")
        if measurement_path
        else None
    )
    return write_report(plans, measured, output)

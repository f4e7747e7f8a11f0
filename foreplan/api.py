"""The verbs as Python functions; the command line calls exactly these."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import foreplan
from foreplan.datasets import record_files
from foreplan.machines import Local, load_machine, local_backend
from foreplan.training import check_source, check_training
from hwprofiles.errors import DeadlockError, PlanError, RecordError
from hwprofiles.registry import lookup
from hwprofiles.units import format_bytes
from planner.collectives.base import algorithm_names
from planner.machine import Machine
from planner.measurement import Measurement
from planner.memory import plan_arena_bytes
from planner.model import load_model, model_names
from planner.opsets import general_calls, plan_calls, space_calls
from planner.plan import Plan, Training, Verdict, verdict
from planner.predict import predict
from planner.program import TransferTask
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
from planner.search import Progress as SearchProgress
from planner.search import search, search_front
from planner.space import Constraints

if TYPE_CHECKING:
    from reports.case import Cases
    from runtime.execute import Checkpoints, Options
    from runtime.launch import Launch

Progress = Callable[[int, int], None]
LEAST_MICROBATCH = 4
"""Smallest microbatch whose ops ``calibrate`` times for a model; smaller ones use the curves."""


def tool() -> str:
    """Name and version written into every file."""
    return f"foreplan {foreplan.__version__}"


def models() -> list[str]:
    """Return the names of the built-in models."""
    return list(model_names())


def calibrate(
    *,
    workers: int | None = None,
    model: str | None = None,
    training: Training | None = None,
    backend: str = "numpy",
    progress: Callable[[int, int, int], None] = lambda workers, done, total: None,
) -> dict[int, int]:
    """Time ops on this machine, for each number of workers up to ``workers``.

    With ``model`` and ``training`` only the ops that plans of it use; else the general set that
    curves are fitted to. Return how many ops were timed, by number of workers. Kernels are those of
    ``backend``; what is measured counts for the cluster ``local``, or ``local:BACKEND``.
    """
    from runtime.kernels import refuse_missing

    local = Local.here(backend)
    counts = {}
    for w in [workers] if workers else range(1, local.facts.physical_cores + 1):
        if model and training:
            calls = space_calls(load_model(model), training, w, LEAST_MICROBATCH)
            refuse_missing(model, calls.values())
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
    budget: int | None = None,
    fixed: Mapping[str, int | bool | str] | None = None,
    constraints: Constraints | None = None,
    objective: str = "time",
    pareto: tuple[str, str] | None = None,
    progress: SearchProgress = lambda stage, done, total, best: None,
) -> PlanFile:
    """Search the plans of ``model`` on ``cluster``; return the best with their certificate.

    ``objective`` is one of ``planner.objective.FORMULAS``; with ``pareto`` the plans are those that
    no other beats in two objectives both. ``fixed`` is short for constraints that fix plan fields.
    """
    check_training("training.{}", training)
    machine = load_machine(cluster)
    graph = load_model(model)
    asked = constraints or Constraints(fixed=dict(fixed or {}))
    if pareto:
        result = search_front(
            graph, training, machine, pareto, budget=budget, constraints=asked, progress=progress
        )
    else:
        result = search(
            graph,
            training,
            machine,
            top=top,
            budget=budget,
            constraints=asked,
            objective=objective,
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
        fixed=dict(asked.fixed),
        most=dict(asked.most),
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
    check_training(f"{path}: training.{{}}", plans.training)
    machine = machine_of(path, plans)
    if plans_sha256(plans.plans) == plans.plans_sha256:
        return plans
    checked = tuple(check_plan(path, plans, ranked.plan, machine) for ranked in plans.plans)
    return replace(plans, plans=checked, plans_sha256=plans_sha256(checked))


def machine_of(path: Path, plans: PlanFile) -> Machine:
    """Return the machine of a plan file, or say that its records do not hang together."""
    try:
        return plans.to_machine()
    except (KeyError, IndexError) as error:
        raise RecordError(
            f"{path}: machine: expected every device and link that is named to be there, got none"
            f" for {error}; plan again"
        ) from error


LEAST = {
    "workers": 1,
    "microbatch": 1,
    "bucket_bytes": 1,
    "input_slots": 0,
    "activation_slots": 0,
    "landing_slots": 0,
    "decode_workers": 0,
    "prefetch": 1,
    "decode_cores": 0,
}
"""Least value of an edited field; too few slots are for the check of credits to explain."""
MOST = 2**31 - 1
"""Largest value of any of them: more is a slip, and more than the arithmetic holds."""


def check_plan(path: Path, plans: PlanFile, edited: Plan, machine: Machine) -> RankedPlan:
    """Check one plan of a file and predict it.

    Raises
    ------
    PlanError, DeadlockError
        When it cannot be.
    """
    model, where = load_model(plans.model), f"{path}: plan {edited.label!r}"
    for name, least in LEAST.items():
        value = getattr(edited, name)
        if not least <= value <= MOST:
            limit = f"at least {least}" if value < least else f"at most {MOST}"
            raise PlanError(f"{where}: {name} must be {limit}, got {value}; edit it again")
    known = ["none"] if edited.workers == 1 else algorithm_names()
    lookup(f"{where}: algorithm", edited.algorithm, known, error=PlanError)
    cluster = machine.cluster(edited.workers)
    found = verdict(model, plans.training, edited, cluster)
    if found is not Verdict.FITS:
        raise PlanError(f"{where}: {found.value}; edit it again")
    check_source(where, plans.training, edited)
    placed, devices = edited.placement, len(cluster.devices)
    if not len(placed) == len(set(placed)) == edited.workers or not set(placed) <= set(
        range(devices)
    ):
        raise PlanError(
            f"{where}: placement must name {edited.workers} different devices of 0 to"
            f" {devices - 1}, got {list(placed)}; edit it again"
        )
    needed = plan_arena_bytes(model, plans.training, edited)
    most = min(cluster.devices[device].memory_bytes for device in placed)
    if needed > most:
        raise PlanError(
            f"{where}: {Verdict.OUT_OF_MEMORY.value} ({format_bytes(needed)} of"
            f" {format_bytes(most)}); edit it again"
        )
    try:
        prediction, _, _ = predict(model, plans.training, edited, machine)
    except DeadlockError as error:
        raise DeadlockError(f"{where}: {error}") from error
    return RankedPlan(label=edited.label, plan=edited, prediction=prediction)


def execute(
    path: Path,
    *,
    pick: int = 0,
    steps: int = 100,
    warmup: int = 10,
    data: Path | None = None,
    check: bool = False,
    keep_costs: bool = False,
    gate: float = 1.0,
    executions: int | None = None,
    allow_drift: bool = False,
    oversubscribe: bool = False,
    replay: int | None = None,
    timeout_s: float = 60.0,
    parameters: Path | None = None,
    checkpoint_every: int = 0,
    checkpoints: Path | None = None,
    resume: Path | bool = False,
    start: "Launch | None" = None,
    lanes: int | None = None,
    output: Path | None = None,
    backend: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> Measurement:
    """Run one plan of a plan file for real on this machine; return predicted beside measured.

    With ``check``: calibrate the plan's own ops, predict anew, run five times between two looks at
    the sentinels, and hold the error against the claim (times ``gate``). With ``keep_costs`` the
    costs of the plan file stay, so that its fitted curves are what is tested.

    With ``checkpoint_every``: keep the state of training after every so many steps, in the folder
    ``checkpoints`` (by default beside ``output``). With ``resume`` go on from the newest one there,
    or from the file that is named, to the step at which a whole run would end.

    With ``replay`` only that rank runs, its peers stubbed: compute, memory and copies are measured,
    the network is predicted.

    ``start`` is how workers are started where that is not by an mpiexec of our own on this machine,
    and ``lanes`` how many may then run. ``backend`` says whose kernels run, by default those that
    the plan was priced with; others are refused.
    """
    from runtime.execute import EXECUTIONS, TRACED, Options, measure
    from runtime.execute import check as run_check
    from runtime.kernels import refuse_missing
    from runtime.launch import launch

    start = start or launch
    plans = read_plans(path)
    by = _backend(path, plans, backend)
    model = load_model(plans.model)
    needed = plan_calls(model, plans.training, plans.plans[0].plan)
    refuse_missing(plans.model, needed.values())  # the same kernels for every plan
    if replay is not None:
        _check_replay(plans, pick, replay, check or bool(checkpoint_every or resume))
    beside = output or Path("measurement.json")
    train, test = record_files(model, data)
    options = Options(
        train=train,
        test=test,
        cores=_cores(plans, pick, oversubscribe, lanes, alone=replay is not None),
        steps=steps,
        warmup=warmup,
        traced=min(TRACED, steps),
        timeout_s=timeout_s,
        expected_s={} if check or allow_drift or replay is not None else _sentinels(plans, pick),
        backend=by,
        parameters=parameters,
        checkpoints=_checkpoints(checkpoint_every, checkpoints, resume, beside),
        prove=check,
        start=start,
        replay=replay,
    )
    runs = executions or (EXECUTIONS if check else 1)
    if options.checkpoints and (check or runs > 1):
        raise PlanError(
            "--check: runs the same steps several times, so there is no one state to keep or to go"
            " on from; leave out the options of checkpoints, or --check"
        )
    if not check:
        return measure(plans, pick, options, executions=runs, progress=progress)
    priced = _beside(beside)

    def again() -> Measurement:
        fresh = plans if keep_costs else _calibrated(plans, pick, options, say, progress)
        write_record(priced, fresh)
        index = pick if keep_costs else 0
        return measure(fresh, index, options, executions=runs, progress=progress)

    return run_check(again, gate=gate, say=say)


def _check_replay(plans: PlanFile, pick: int, rank: int, more: bool) -> None:
    """Refuse to replay a rank that there is not, or what one rank alone cannot do."""
    ranked = pick_plan(plans, pick)
    if not 0 <= rank < ranked.plan.workers:
        raise PlanError(
            f"--rank {rank}: plan {ranked.label!r} has ranks 0 to {ranked.plan.workers - 1}; give"
            " one of them"
        )
    if more:
        raise PlanError(
            "--replay: one rank without its peers does not train, so there is nothing to check or"
            " to keep; leave out --check and the options of checkpoints"
        )


def _backend(path: Path, plans: PlanFile, asked: str | None) -> str:
    """Return the backend to run with; costs of one backend say nothing of another."""
    from runtime.backends import backend

    planned = local_backend(plans.cluster)
    if asked and planned and asked != planned:
        cluster = "local" if asked == "numpy" else f"local:{asked}"
        raise PlanError(
            f"{path}: priced with backend {planned!r}, got --backend {asked!r}; plan on"
            f" {cluster} to run with that one"
        )
    return backend(asked or planned or "numpy").name


def _sentinels(plans: PlanFile, pick: int) -> Mapping[str, tuple[float, ...]]:
    """Return the sentinel times that the costs of a ``local`` plan were measured with."""
    by = local_backend(plans.cluster)
    if by is None:
        return {}
    calibration = Local.here(by).calibration(plans.plans[pick].plan.workers)
    return calibration.sentinels if calibration else {}


def _beside(output: Path) -> Path:
    """Where a check keeps the plan that it priced: ``x.json`` gives ``x.plan.json``."""
    return output.with_name(f"{output.stem}.plan.json")


def _checkpoints(
    every: int, folder: Path | None, resume: Path | bool, output: Path
) -> "Checkpoints | None":
    """Return which checkpoints to write and which to begin with, found whole; None for none."""
    from runtime.checkpoint import check_whole, newest, refuse_stored
    from runtime.execute import Checkpoints

    folder = folder or output.with_name(f"{output.stem}.checkpoints")
    if not every and not resume:
        return None
    if resume is True:
        begin: Path | None = newest(folder)
    elif resume:
        begin = resume
        check_whole(resume)
    else:
        begin = None
        refuse_stored(folder)
    return Checkpoints(folder=folder, every=every, resume=begin)


def _cores(
    plans: PlanFile, pick: int, oversubscribe: bool, lanes: int | None, *, alone: bool = False
) -> tuple[int, ...]:
    """Return the cores to pin to, refusing more workers than there are.

    None are named where workers were started by others, or on other hosts, who choose there.
    """
    plan = pick_plan(plans, pick).plan
    workers = 1 if alone else plan.workers
    needed = workers + plan.decode_cores
    if lanes is not None:
        if workers > lanes:
            raise PlanError(
                f"plan {plans.plans[pick].label!r}: needs {workers} workers, there is room for"
                f" {lanes}; start as many, add slots to the hosts file, or pick another plan"
            )
        return ()
    cpus = Local.here().facts.cpus
    if needed > len(cpus) and not oversubscribe:
        raise PlanError(
            f"plan {plans.plans[pick].label!r}: needs {needed} cores, this machine has"
            f" {len(cpus)}; pick another plan, or give --oversubscribe to share cores untimed"
        )
    return cpus[:needed]


def pick_plan(plans: PlanFile, pick: int) -> RankedPlan:
    """Return one plan of a file.

    Raises
    ------
    PlanError
        When there is none of that number.
    """
    if not 0 <= pick < len(plans.plans):
        raise PlanError(
            f"--pick {pick}: the plan file has plans 0 to {len(plans.plans) - 1}; pick one of them"
        )
    return plans.plans[pick]


def _calibrated(
    plans: PlanFile,
    pick: int,
    options: "Options",
    say: Callable[[str], None],
    progress: Progress,
) -> PlanFile:
    """Time the plan's own ops one by one and predict it with them."""
    edited = plans.plans[pick].plan
    model = load_model(plans.model)
    local = Local.here(options.backend)
    calls = plan_calls(model, plans.training, edited)
    say(f"calibrating {len(calls)} ops on {edited.workers} workers")
    local.calibrate(calls, edited.workers, progress, options.start, options.train)
    machine = local.machine()
    prediction, program, _ = predict(model, plans.training, edited, machine)
    ranked = (RankedPlan(label=edited.label, plan=edited, prediction=prediction),)
    used = {info.call.signature for info in program.tasks if not isinstance(info, TransferTask)}
    return replace(
        plans,
        cluster=machine.name,
        plans=ranked,
        plans_sha256=plans_sha256(ranked),
        machine={edited.workers: cluster_record(machine, edited.workers, used)},
    )


def read_cases(paths: Sequence[Path]) -> "Cases":
    """Read plan files and measurements, in any order; each measurement goes with its plan file.

    Raises
    ------
    RecordError, PlanError
        A file that is neither, a measurement of none of the plan files, or no plan file.
    """
    from reports.case import pair

    plans, measured, names = [], [], []
    for path in paths:
        if _is_measurement(path):
            measured.append(read_record(path, Measurement, "a measurement file"))
            names.append(str(path))
        else:
            plans.append(_as_written(path))
    if not plans:
        raise RecordError(
            f"{names[0]}: expected a plan file beside it, got none; give the plan file that it was"
            " executed from"
        )
    return pair(plans, measured, names)


def _is_measurement(path: Path) -> bool:
    """Tell a measurement from a plan file by a field that it alone has."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # reading it as a plan file says what is wrong
    return isinstance(data, dict) and "executions" in data


def _as_written(path: Path) -> PlanFile:
    """Read a plan file whose predictions may be of a model that is not known here.

    Edited plans are checked and predicted anew, for which the model must be known.
    """
    plans = read_record(path, PlanFile, "a plan file")
    if not plans.plans or plans_sha256(plans.plans) != plans.plans_sha256:
        return read_plans(path)
    return plans


def report(
    paths: Sequence[Path],
    output: Path,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> tuple[Path, Path]:
    """Write the page of one plan or of several, and its Markdown twin; return both paths.

    ``paths`` are plan files, the first of which the others are compared with, and measurements.
    """
    from reports.page import write_report

    return write_report(read_cases(paths), output, progress)


def trace(
    plan_path: Path,
    measurement_path: Path | None,
    output: Path,
    *,
    ranks: Collection[int] = (),
) -> Path:
    """Write one step, simulated and where it was traced measured, for a trace viewer.

    ``ranks`` are those that are written; without any, all of them.
    """
    from reports.trace import write_trace

    (case,) = read_cases([plan_path, *([measurement_path] if measurement_path else [])])
    return write_trace(case, output, ranks)

"""Running a plan for real: what is asked of the runtime, and with which costs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foreplan.datasets import record_files
from foreplan.machines import Local, local_backend
from foreplan.planfiles import pick_plan, read_plans
from hwprofiles.errors import PlanError
from planner.algorithms import is_switched
from planner.measurement import Measurement
from planner.model import load_model
from planner.opsets import plan_calls
from planner.plan import Plan
from planner.predict import predict
from planner.program import TransferTask
from planner.records import (
    PlanFile,
    RankedPlan,
    cluster_record,
    plans_sha256,
    write_record,
)

if TYPE_CHECKING:
    from runtime.backends import Backend
    from runtime.execute import Checkpoints, Options
    from runtime.launch import Launch

Progress = Callable[[int, int], None]


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
    chosen = _backend(path, plans, backend)
    by = chosen.name
    model = load_model(plans.model)
    needed = plan_calls(model, plans.training, plans.plans[0].plan)
    refuse_missing(plans.model, needed.values())  # the same kernels for every plan
    if check and not chosen.is_host:
        raise PlanError(
            f"--check: expected a backend that computes on cores of this machine, got {by!r}; leave"
            " out --check, and hold the GPU against its predictions with `make gpu-check`"
        )
    _check_switch(path, pick_plan(plans, pick).plan)
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


def _check_switch(path: Path, plan: Plan) -> None:
    """Refuse a plan that leaves its sums to a switch: workers are joined by memory and messages."""
    if plan.workers > 1 and is_switched(plan.algorithm):
        raise PlanError(
            f"{path}: plan {plan.label!r} adds up in a switch ({plan.algorithm}), and none that"
            " adds joins the workers here; --pick another plan, or plan with --fix algorithm=ring"
        )


def _backend(path: Path, plans: PlanFile, asked: str | None) -> "Backend":
    """Return the backend to run with; costs of one backend say nothing of another."""
    from runtime.backends import backend

    planned = local_backend(plans.cluster)
    if asked and planned and asked != planned:
        cluster = "local" if asked == "numpy" else f"local:{asked}"
        raise PlanError(
            f"{path}: priced with backend {planned!r}, got --backend {asked!r}; plan on"
            f" {cluster} to run with that one"
        )
    return backend(asked or planned or "numpy")


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

"""Disturbances as a person writes them, and the runs of a plan file under them."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from foreplan.api import machine_of, pick_plan, read_plans
from hwprofiles.errors import PlanError, UnitError
from hwprofiles.units import parse_s
from planner.disturbed import DisturbedRuns, LinkEvent, Trouble, disturbed_runs
from planner.model import load_model
from planner.reprice import Lowered


def is_plan(path: Path) -> bool:
    """Whether a file is JSON that has plans; what else is wrong with it is for its reader."""
    try:
        return "plans" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, TypeError):
        return False


def trouble_of(
    stragglers: Iterable[str] = (),
    degraded: Iterable[str] = (),
    failed: Iterable[str] = (),
    traffic: Iterable[str] = (),
) -> Trouble:
    """Read the options ``--straggler``, ``--degrade``, ``--fail`` and ``--traffic``.

    Raises
    ------
    PlanError
        Naming the option and the text that cannot be read.
    """
    factors: dict[int, float] = {}
    spread = 0.0
    for text in stragglers:
        worker, equals, factor = text.rpartition("=")
        if equals and not worker.isdecimal():
            raise PlanError(
                f"--straggler {text!r}: expected a worker's number before '=', got {worker!r};"
                " give WORKER=FACTOR, such as 1=1.5"
            )
        value = _number("--straggler", text, factor)
        if equals:
            factors[int(worker)] = value
        else:
            spread = value
    events = [_event("--degrade", text, with_factor=True) for text in degraded]
    events += [_event("--fail", text, with_factor=False) for text in failed]
    return Trouble(
        factors=factors,
        spread=spread,
        events=tuple(events),
        traffic=tuple(_event("--traffic", text, with_factor=True, timed=False) for text in traffic),
    )


def simulate_plan(
    path: Path,
    pick: int,
    trouble: Trouble,
    *,
    runs: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DisturbedRuns:
    """Simulate the step of one plan of a file under disturbances.

    Raises
    ------
    RecordError, PlanError
        When the file is no plan file, the plan is not there, or a disturbance cannot be.
    """
    plans = read_plans(path)
    plan, machine = pick_plan(plans, pick).plan, machine_of(path, plans)
    lowered = Lowered.of(load_model(plans.model), plans.training, plan, machine)
    cluster = machine.cluster(plan.workers)
    return disturbed_runs(
        lowered.program, plan, cluster, trouble, runs=runs, seed=seed, progress=progress
    )


def _event(option: str, text: str, *, with_factor: bool, timed: bool = True) -> LinkEvent:
    """Read one thing that happens to a link."""
    rest, at, time = text.rpartition("@") if timed and "@" in text else (text, "", "")
    try:
        at_s = parse_s(time) if at else 0.0
    except UnitError as error:
        raise PlanError(f"{option} {text!r}: {error}") from error
    wires, equals, factor = rest.rpartition("=") if with_factor else (rest, "=", "0")
    if not equals or not wires:
        raise PlanError(
            f"{option} {text!r}: expected LINK{'=NUMBER' if with_factor else ''}, got {rest!r};"
            " name a part such as pcie-3-x16, or a wire such as 0->switch"
        )
    value = _number(option, text, factor)
    if with_factor and value <= 0:
        raise PlanError(f"{option} {text!r}: expected a number above 0, got {factor}; see --fail")
    return LinkEvent(wires=wires, factor=value, at_s=at_s)


def _number(option: str, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise PlanError(f"{option} {text!r}: expected a number of at least 0, got {number!r}")
    return value

"""Pages and traces of plan files and measurements."""

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foreplan.planfiles import read_plans
from hwprofiles.errors import RecordError
from planner.measurement import Measurement
from planner.records import (
    PlanFile,
    plans_sha256,
    read_record,
)

if TYPE_CHECKING:
    from reports.case import Cases


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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write one step, simulated and where it was traced measured, for a trace viewer.

    ``ranks`` are those that are written; without any, all of them.
    """
    from reports.trace import write_trace

    cases = read_cases([plan_path, *([measurement_path] if measurement_path else [])])
    if len(cases) > 1:
        raise RecordError(
            f"{measurement_path}: expected a measurement, got a second plan file; give what"
            " `execute` wrote, or the plan alone"
        )
    return write_trace(cases[0], output, ranks, progress)

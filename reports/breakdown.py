"""Where the time of a step goes: compute, exposed communication, input stall, idle."""

from collections.abc import Mapping
from typing import Any

from planner.predict import phase_seconds
from reports.case import Case
from reports.tables import Row

KIND_OF_PHASE: Mapping[str, str] = {
    "forward": "compute",
    "backward": "compute",
    "update": "compute",
    "exchange": "exposed communication",
    "load": "input stall",
    "waiting": "idle",
}
OTHER = "other"
"""Phases of a file that are not known here."""
UNSEEN = 1e-8
"""Of a step: what is left of two times that are nearly equal."""
KINDS = (*dict.fromkeys(KIND_OF_PHASE.values()), OTHER)


def breakdown_rows(case: Case) -> list[Row]:
    """Return the seconds of a step by kind: of the first rank and the last, and as measured.

    Where the two are alike they share a row.

    A file has the phases of rank 0 alone. Other ranks are those of the replay: where one of them
    serves the others, their steps differ. The replay of one step does not tell the step of a plan
    whose input runs ahead.
    """
    first = _row("predicted", 0, case.subject.prediction.phases_s)
    rows: list[Row] = [first]
    replay = case.replay
    if replay and replay.program.ranks > 1 and not case.subject.plan.decode_workers:
        last = replay.program.ranks - 1
        other = _row("predicted", last, phase_seconds(replay.program, replay.predicted, last))
        if all(abs(first[kind] - other[kind]) <= UNSEEN * first["step_s"] for kind in KINDS):
            first["ranks"] = f"0, {last}"
        else:
            rows.append(other)
    if case.measured and case.measured.phases_s:
        rows.append(_row("measured", 0, case.measured.phases_s))
    return rows


def _row(side: str, rank: int, phases_s: Mapping[str, float]) -> dict[str, Any]:
    totals = dict.fromkeys(KINDS, 0.0)
    for phase, seconds in phases_s.items():
        totals[KIND_OF_PHASE.get(phase, OTHER)] += seconds
    step_s = sum(totals.values())
    seen = {kind: s if s > UNSEEN * step_s else 0.0 for kind, s in totals.items()}
    return {"side": side, "ranks": str(rank), "step_s": step_s, **seen}

"""Spans of one step: what each rank does from when to when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hwprofiles.units import PS_PER_S
from planner.measurement import Trace
from reports.case import Case

EXCHANGE = "exchange"
SIDES = ("predicted", "measured")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """The spans of a step as predicted and, where there is a trace, as measured.

    One row a task and rank, so a transfer has two: ``rank``, ``phase``, ``task``, ``start_s``,
    ``end_s``.
    """

    predicted: pd.DataFrame
    measured: pd.DataFrame | None = None

    @property
    def sides(self) -> dict[str, pd.DataFrame]:
        """Return the sides that there are, by name."""
        both = zip(SIDES, (self.predicted, self.measured), strict=True)
        return {name: frame for name, frame in both if frame is not None}

    @property
    def ranks(self) -> int:
        """Number of lanes."""
        return 1 + int(self.predicted["rank"].max()) if len(self.predicted) else 1

    @property
    def end_s(self) -> float:
        """When the last task of any side ends."""
        return max(last_s(frame) for frame in self.sides.values())


def last_s(spans: pd.DataFrame) -> float:
    """Return when the last task ends."""
    return float(spans["end_s"].max()) if len(spans) else 0.0


def steps(case: Case) -> Steps | None:
    """Return the spans of the trace or, without one, of the simulated step; none without both."""
    trace = case.measured.trace if case.measured else None
    if trace:
        return traced(trace)
    if case.replay is None:
        return None
    program, timeline = case.replay.program, case.replay.predicted
    return Steps(
        predicted=_frame(
            [info.name for info in program.tasks],
            [info.ranks for info in program.tasks],
            [info.phase for info in program.tasks],
            timeline.start_ps / PS_PER_S,
            timeline.end_ps / PS_PER_S,
        )
    )


def traced(trace: Trace) -> Steps:
    """Return both sides of a trace."""
    names = [name.partition("@")[0] for name in trace.task]
    both = (
        (trace.predicted_start_s, trace.predicted_end_s),
        (trace.measured_start_s, trace.measured_end_s),
    )
    predicted, measured = (_frame(names, trace.ranks, trace.phase, *times) for times in both)
    return Steps(predicted=predicted, measured=measured)


def _frame(
    names: Sequence[str],
    ranks: Sequence[tuple[int, ...]],
    phases: Sequence[str],
    start_s: Sequence[float] | np.ndarray,
    end_s: Sequence[float] | np.ndarray,
) -> pd.DataFrame:
    whole = pd.DataFrame(
        {"rank": ranks, "phase": phases, "task": names, "start_s": start_s, "end_s": end_s}
    )
    of_ranks = whole[whole["rank"].map(len) > 0]  # not those of processes beside the workers
    return of_ranks.explode("rank", ignore_index=True).astype({"rank": "int64"})


def merged(spans: pd.DataFrame, gap_s: float) -> pd.DataFrame:
    """Join the spans of a rank and phase that follow each other within ``gap_s``.

    A joined span is called by the task that it is, or by none where it is several.
    """
    if spans.empty:
        return spans
    order = spans.sort_values(["rank", "phase", "start_s"], kind="stable")
    keys = ["rank", "phase"]
    reached = order.groupby(keys)["end_s"].cummax()
    before = reached.groupby([order[key] for key in keys]).shift()
    run = (before.isna() | (order["start_s"] > before + gap_s)).cumsum()
    joined = order.groupby(run, sort=False).agg(
        rank=("rank", "first"),
        phase=("phase", "first"),
        task=("task", "first"),
        start_s=("start_s", "first"),
        end_s=("end_s", "max"),
        tasks=("task", "size"),
    )
    joined.loc[joined["tasks"] > 1, "task"] = ""
    return joined.reset_index(drop=True)

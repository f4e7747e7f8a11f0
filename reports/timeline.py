"""Spans of one step for the timelines: what each rank does from when to when."""

from dataclasses import dataclass

import pandas as pd

from hwprofiles.errors import ForeplanError
from hwprofiles.units import PS_PER_S
from planner.measurement import Trace
from planner.model import load_model
from planner.predict import predict
from planner.records import PlanFile, RankedPlan
from reports.tables import Row

EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One task on one rank; a transfer has a span on both of its ranks."""

    rank: int
    phase: str
    task: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The spans of a step as predicted and, where there is a trace, as measured."""

    predicted: tuple[Span, ...]
    measured: tuple[Span, ...] = ()

    @property
    def ranks(self) -> int:
        """Number of lanes."""
        return 1 + max((span.rank for span in self.predicted), default=0)


def end_s(spans: tuple[Span, ...]) -> float:
    """Return when the last task ends."""
    return max((span.end_s for span in spans), default=0.0)


def traced_steps(trace: Trace) -> Steps:
    """Return both timelines of a trace."""
    return Steps(
        predicted=_spans(trace, trace.predicted_start_s, trace.predicted_end_s),
        measured=_spans(trace, trace.measured_start_s, trace.measured_end_s),
    )


def _spans(trace: Trace, start: tuple[float, ...], end: tuple[float, ...]) -> tuple[Span, ...]:
    return tuple(
        Span(rank=rank, phase=phase, task=name.partition("@")[0], start_s=a, end_s=b)
        for name, ranks, phase, a, b in zip(
            trace.task, trace.ranks, trace.phase, start, end, strict=True
        )
        for rank in ranks
    )


def replayed_steps(plans: PlanFile, ranked: RankedPlan) -> Steps | None:
    """Return the predicted timeline of a plan that has not run, from the costs in its file.

    None where the model is not known here or the step ends at another instant than the plan file
    says: a timeline that is not the prediction's is not drawn.
    """
    try:
        model = load_model(plans.model)
        prediction, program, timeline = predict(
            model, plans.training, ranked.plan, plans.to_machine()
        )
    except ForeplanError:
        return None
    told = ranked.prediction
    if (prediction.step_s, prediction.tasks) != (told.step_s, told.tasks):
        return None
    start, end = timeline.start_ps / PS_PER_S, timeline.end_ps / PS_PER_S
    return Steps(
        predicted=tuple(
            Span(
                rank=rank,
                phase=info.phase,
                task=info.name,
                start_s=float(start[task]),
                end_s=float(end[task]),
            )
            for task, info in enumerate(program.tasks)
            for rank in info.ranks
        )
    )


def busy_rows(steps: Steps) -> list[Row]:
    """Return the summed task time of every rank and phase, predicted and measured."""
    both = [("predicted_s", steps.predicted), ("measured_s", steps.measured)]
    frame = pd.DataFrame(
        [
            {"rank": s.rank, "phase": s.phase, "side": side, "busy_s": s.end_s - s.start_s}
            for side, spans in both
            for s in spans
        ]
    )
    if frame.empty:
        return []
    wide = frame.pivot_table(
        index=["rank", "phase"], columns="side", values="busy_s", aggfunc="sum", sort=False
    ).reset_index()
    return [{str(k): v for k, v in row.items()} for row in wide.to_dict("records")]

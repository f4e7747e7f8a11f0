"""The sections that show the steps part by part: time, tasks, scaling."""

from collections.abc import Sequence

from hwprofiles.units import format_frac, format_s
from reports.bar_figures import breakdown_figure
from reports.breakdown import KINDS, breakdown_rows
from reports.case import Case, Cases
from reports.compare import phase_rows
from reports.facts import names, told
from reports.measured import traced_note
from reports.parts import Block, Drawing, Section
from reports.rows import scaling_rows
from reports.scaling_figure import scaling_figure
from reports.spans import EXCHANGE, Steps, merged, steps
from reports.tables import Column, Line, Row, Table, compared, table
from reports.time_figure import Panel, timeline_figure
from reports.words import PHASE_WORDS

UNKNOWN = (
    "Not drawn: the plan was predicted by another version of the tool, or its model is not known"
    " here."
)
HIDDEN = 0.005
"""Less of an exchange is told as none."""
LONE = " Of a plan whose input runs ahead the step is one of many, and only rank 0 is known."
ALONE = (
    "One step from an empty pipeline, so longer than the predicted step, which is the pace of many:"
    " the samples that its workers wait for at first are decoded during the step before."
)
ABOVE = (
    " An efficiency above 100 % comes from accumulation: fewer workers run more microbatches, and"
    " add up the gradients of each."
)


def phases(cases: Cases) -> Section:
    """Return where the time of a step goes, by kind and by phase."""
    rows = [breakdown_rows(case) for case in cases]
    flat = [
        {"plan": case.name, **row} for case, own in zip(cases, rows, strict=True) for row in own
    ]
    columns = [
        Column(key="ranks", title="rank"),
        *([Column(key="side", title="step is")] if any(c.measured for c in cases) else []),
        *(
            Column(key=kind, title=kind, kind="seconds")
            for kind in KINDS
            if any(row[kind] for row in flat)
        ),
        Column(key="step_s", title="step", kind="seconds"),
    ]
    if len(cases) > 1:
        columns.insert(0, Column(key="plan", title="plan"))
    text = (
        "Compute is forward, backward and optimizer. Where kinds overlap in time it counts first:"
        " only what it does not hide is exposed communication or a stall."
        + (LONE if any(case.subject.plan.decode_workers for case in cases) else ""),
        *_traced(cases),
    )
    drawn = Drawing(caption=_exposed(cases, rows), svg=breakdown_figure(cases, rows))
    return (
        Block(
            text=text,
            drawings=(drawn,),
            tables=(
                table(flat, columns, caption="One step by what a rank does", sortable=True),
                _by_phase(cases),
            ),
        ),
    )


def _exposed(cases: Cases, rows: Sequence[Sequence[Row]]) -> str:
    """Say which part of each step is exchange that nothing hides."""
    first = {case.name: own[0] for case, own in zip(cases, rows, strict=True)}
    if all(case.subject.plan.workers == 1 for case in cases):
        return "One worker exchanges nothing."

    def share(case: Case) -> str:
        row = first[case.name]
        return format_frac(row["exposed communication"] / row["step_s"])

    return f"Exposed communication of rank 0 is {told(cases, share)} of the predicted step."


def _traced(cases: Cases) -> list[str]:
    """Say of which step the measured side is."""
    return [
        f"{case.name}{': ' if case.name else ''}{traced_note(case.measured)}"
        for case in cases
        if case.measured
    ]


def _by_phase(cases: Cases) -> Table:
    """Return the phases of rank 0: of one case with its error, of several side by side."""
    caption = "Rank 0 by phase"
    if len(cases) > 1:
        found = [case.subject.prediction.phases_s for case in cases]
        lines = [
            Line(
                title=phase,
                values=tuple(own.get(phase) for own in found),
                kind="seconds",
                meaning=PHASE_WORDS.get(phase, ""),
            )
            for phase in dict.fromkeys(phase for own in found for phase in own)
        ]
        return compared(names(cases), lines, caption=f"{caption}, predicted")
    (case,) = cases
    columns = [
        Column(key="phase", title="phase", note="meaning"),
        Column(key="predicted_s", title="predicted", kind="seconds"),
    ]
    if case.measured:
        columns += [
            Column(key="measured_s", title="measured", kind="seconds"),
            Column(key="change_s", title="predicted - measured", kind="signed_seconds"),
            Column(key="error_frac", title="error", kind="signed_frac"),
        ]
    return table(phase_rows(case.subject.prediction, case.measured), columns, caption=caption)


def timeline(cases: Cases) -> Section:
    """Return the steps task by task: as predicted and, where there is a trace, as measured."""
    found = [(case, spans) for case in cases if (spans := steps(case)) is not None]
    if not found:
        return (Block(text=(UNKNOWN,)),)
    panels = [
        Panel(title=", ".join(filter(None, (case.name, side))), spans=spans, ranks=own.ranks)
        for case, own in found
        for side, spans in own.sides.items()
    ]
    drawn = Drawing(
        caption="A lane a rank; exchange in the strip below computation; gaps: waiting."
        + _hidden(found),
        svg=timeline_figure(panels),
    )
    missing = [case.name for case in cases if case.name not in {c.name for c, _ in found}]
    text = ["All steps are on one axis of time; the dashed line is their end."]
    if fed := [case.name for case, _ in found if case.subject.plan.decode_workers]:
        text.append(f"{', '.join(fed)}{': ' if fed[0] else ''}{ALONE}")
    text += [f"{', '.join(missing)}: {UNKNOWN}"] if missing else []
    return (Block(text=tuple(text), drawings=(drawn,)),)


def _hidden(found: Sequence[tuple[Case, Steps]]) -> str:
    """Say how long rank 0 of each plan exchanges, and how much of that computation hides."""
    said = []
    for case, own in found:
        spans = own.predicted
        busy = merged(spans[(spans["rank"] == 0) & (spans["phase"] == EXCHANGE)], 0.0)
        whole_s = float((busy["end_s"] - busy["start_s"]).sum())
        exposed_s = case.subject.prediction.phases_s.get(EXCHANGE, 0.0)
        if case.subject.plan.workers > 1 and not case.subject.plan.decode_workers and whole_s:
            hidden = max(0.0, 1 - exposed_s / whole_s)
            share = format_frac(hidden, 0) if hidden >= HIDDEN else "none"
            of = f" ({case.name})" if case.name else ""
            said.append(f"{format_s(whole_s)}, {share} of it behind computation{of}")
    return f" Rank 0 exchanges for {'; '.join(said)}." if said else ""


def _fastest(cases: Cases) -> str:
    """Say on how many of the workers that were tried each plan is fastest."""

    def best(case: Case) -> str:
        fastest = min(case.curve, key=lambda point: point.step_s, default=None)
        return str(fastest.workers) if fastest else "unknown"

    return f"Of the numbers of workers tried the fastest is {told(cases, best)}."


def scales(cases: Cases) -> Section:
    """Return how throughput grows with the number of workers, everything else kept."""
    if not any(len(case.curve) > 1 for case in cases):
        return ()
    columns = [
        Column(key="workers", title="workers", kind="count"),
        Column(key="step_s", title="step", kind="seconds"),
        Column(key="samples_per_s", title="throughput", kind="rate"),
        Column(key="speedup", title="speed-up", kind="factor"),
        Column(key="efficiency_frac", title="efficiency", kind="frac"),
        Column(key="measured_s", title="measured step", kind="seconds"),
    ]
    if len(cases) > 1:
        columns.insert(0, Column(key="plan", title="plan"))
    if not any(case.measured for case in cases):
        columns.pop()
    rows = [row for case in cases for row in scaling_rows(case)]
    return (
        Block(
            text=(
                "The same batch on fewer and more workers, each step simulated: exchange, buckets"
                " and overlap are the plan's own, and so is the microbatch where it divides. The"
                " large mark is the plan itself."
                + (ABOVE if any((row["efficiency_frac"] or 0) > 1 for row in rows) else ""),
            ),
            drawings=(
                Drawing(
                    caption=_fastest(cases),
                    svg=scaling_figure(cases),
                ),
            ),
            tables=(table(rows, columns, caption="Scaling at a fixed batch", sortable=True),),
        ),
    )

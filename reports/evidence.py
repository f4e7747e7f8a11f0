"""The sections that show the steps part by part: time, tasks, scaling."""

from collections.abc import Sequence

from hwprofiles.units import format_frac
from reports.bar_figures import breakdown_figure
from reports.breakdown import KINDS, breakdown_rows
from reports.case import Cases
from reports.compare import phase_rows
from reports.facts import names
from reports.measured import traced_note
from reports.parts import Block, Drawing, Section
from reports.rows import scaling_rows
from reports.scaling_figure import scaling_figure
from reports.spans import busy_rows, steps
from reports.tables import Column, Line, Row, Table, compared, table
from reports.time_figure import Panel, timeline_figure
from reports.words import KIND_WORDS, PHASE_WORDS

UNKNOWN = (
    "Not drawn: the plan was predicted by another version of the tool, or its model is not known"
    " here."
)
ABOVE = (
    " An efficiency above 100 % comes from accumulation: fewer workers run more microbatches, and"
    " add up the gradients of each."
)


def phases(cases: Cases) -> Section:
    """Return where the time of a step goes, by kind and by phase."""
    rows = [breakdown_rows(case) for case in cases]
    flat = [(case, row) for case, own in zip(cases, rows, strict=True) for row in own]
    heads = [
        ", ".join(filter(None, (case.name, f"rank {row['rank']}", row["side"])))
        for case, row in flat
    ]
    kinds = [kind for kind in KINDS if any(row[kind] for _, row in flat)]
    by_kind = [
        Line(
            title=kind,
            values=tuple(row[kind] for _, row in flat),
            kind="seconds",
            meaning=KIND_WORDS.get(kind, ""),
        )
        for kind in kinds
    ]
    by_kind.append(Line(title="step", values=tuple(r["step_s"] for _, r in flat), kind="seconds"))
    text = (
        "Where kinds overlap in time, computation counts first: only what it does not hide is"
        " exposed communication or a stall.",
        *_traced(cases),
    )
    caption = "One step, by what a rank does"
    drawn = Drawing(caption=_exposed(cases, rows), svg=breakdown_figure(cases, rows))
    return (
        Block(
            text=text,
            drawings=(drawn,),
            tables=(
                compared(heads, by_kind, caption=caption, is_changed=False),
                _by_phase(cases),
            ),
        ),
    )


def _exposed(cases: Cases, rows: Sequence[Sequence[Row]]) -> str:
    """Say which part of each step is exchange that nothing hides."""
    shares = [
        f"{format_frac(own[0]['exposed communication'] / own[0]['step_s'])} of the step"
        + (f" of {case.name}" if case.name else "")
        for case, own in zip(cases, rows, strict=True)
        if case.subject.plan.workers > 1
    ]
    if not shares:
        return "One worker exchanges nothing"
    return f"Exchange that nothing hides takes {', '.join(shares)} (rank 0, predicted)"


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
        caption="A lane a rank; exchange in the strip below computation; gaps: waiting",
        svg=timeline_figure(panels),
        is_wide=True,
    )
    missing = [case.name for case in cases if case.name not in {c.name for c, _ in found}]
    text = ["All steps are on one axis of time; the dashed line is their end.", *_traced(cases)]
    text += [f"{', '.join(missing)}: {UNKNOWN}"] if missing else []
    rows = [
        {"step": panel.title, **row}
        for panel in panels
        for row in busy_rows(panel.spans, sorted({0, panel.ranks - 1}))
    ]
    seen = dict.fromkeys(key for row in rows for key in row)
    phases_seen = [p for p in (*PHASE_WORDS, *seen) if p in seen and p not in ("step", "rank")]
    busy = table(
        rows,
        [
            Column(key="step", title="step"),
            Column(key="rank", title="rank", kind="count"),
            *(Column(key=p, title=p, kind="seconds") for p in dict.fromkeys(phases_seen)),
        ],
        caption="Task time of the first and the last rank by phase, hidden or not",
        sortable=True,
    )
    return (Block(text=tuple(text), drawings=(drawn,), tables=(busy,)),)


def _fastest(cases: Cases) -> str:
    """Say on how many of the workers that were tried each plan is fastest."""
    told = []
    for case in cases:
        best = min(case.curve, key=lambda point: point.step_s, default=None)
        if best is not None:
            whose = f"{case.name} " if case.name else "the plan "
            told.append(f"{whose}is fastest on {best.workers}")
    return f"Throughput over workers: of the numbers tried {', '.join(told)}"


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

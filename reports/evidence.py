"""The sections that show the run and its prediction part by part."""

from hwprofiles.units import format_bytes, format_s
from planner.measurement import ArenaProof, Measurement
from planner.predict import Prediction
from reports.case import Case
from reports.compare import (
    execution_rows,
    loss_rows,
    op_rows,
    phase_rows,
    sentinel_rows,
    split_parts,
    split_rows,
)
from reports.figures import loss_figure, memory_figure, phase_figure, split_figure, timeline_figure
from reports.parts import Drawing, Section
from reports.rows import arena_rows, memory_rows
from reports.tables import Column, table, text_signed_frac
from reports.timeline import Steps, busy_rows, end_s, replayed_steps, traced_steps

NOT_MEASURED = Section(text=("This needs a measurement; there is none yet.",))


def phases(case: Case) -> Section:
    """Return the busy time of rank 0 by phase."""
    rows = phase_rows(case.subject.prediction, case.measured)
    columns = [
        Column(key="phase", title="phase", note="meaning"),
        Column(key="predicted_s", title="predicted", kind="seconds"),
    ]
    text = ["Time of rank 0 in one step. Where phases overlap, computation goes before exchange."]
    if case.measured:
        columns += [
            Column(key="measured_s", title="measured", kind="seconds"),
            Column(key="change_s", title="difference", kind="signed_seconds"),
            Column(key="error_frac", title="error", kind="signed_frac"),
        ]
        text.append(_traced_note(case.measured))
    return Section(
        text=tuple(text),
        drawings=(Drawing(caption="Time of rank 0 by phase", svg=phase_figure(rows[:-1])),),
        tables=(table(rows, columns),),
    )


def _traced_note(measured: Measurement) -> str:
    traced_s = sum(measured.phases_s.values())
    return (
        f"The measured side is one traced step, which took {format_s(traced_s)};"
        f" the median untraced step took {format_s(measured.step_s)}"
        f" ({text_signed_frac(traced_s / measured.step_s - 1)})."
    )


def split(case: Case) -> Section:
    """Return the error in three parts, in words, as a figure and as a sum."""
    measured = case.measured
    if measured is None or measured.split is None:
        return NOT_MEASURED
    parts = split_parts(measured.split)
    steps = [measured.split.predicted_s, measured.split.solo_s, measured.split.traced_s]
    steps.append(measured.split.measured_s)
    points = tuple(
        f"{part.name} ({part.symbol}): {format_s(a)} becomes {format_s(b)}; {part.meaning}."
        for part, a, b in zip(parts, steps, steps[1:], strict=False)
    )
    largest = max(parts, key=lambda part: abs(part.change_ns))
    total_ns = parts[-1].to_ns - parts[0].from_ns
    gross_ns = sum(abs(part.change_ns) for part in parts)
    cancel = (
        f" They cancel in part: without their signs they are {gross_ns:,} ns."
        if gross_ns > abs(total_ns)
        else ""
    )
    return Section(
        text=(
            "The same step is simulated three times: with the costs of the plan file (P0), with"
            " every op as it ran alone (P1), and with every op as it ran inside the step (P2). What"
            " then is missing to the measured step (M) no op time explains.",
            f"Together the parts add {total_ns:+,} ns to the predicted step; the largest is"
            f" {largest.name} with {largest.change_ns:+,} ns.{cancel}",
        ),
        points=points,
        drawings=(Drawing(caption="From predicted to measured", svg=split_figure(parts)),),
        tables=(
            table(
                split_rows(measured.split),
                [
                    Column(key="line", title="summand", note="meaning"),
                    Column(key="change_ns", title="adds to the step", kind="signed_ns"),
                    Column(key="step_ns", title="step so far", kind="ns"),
                    Column(key="points", title="part of the error", kind="points"),
                ],
                caption="The sum, exact to the nanosecond; a point is 1 % of the measured step",
            ),
        ),
    )


def ops(case: Case) -> Section:
    """Return every op, the most expensive first."""
    measured = case.measured
    if measured is None or not measured.ops:
        return NOT_MEASURED
    return Section(
        text=(
            "Times are of one firing. The share is of the traced time of all ops on all ranks."
            " The error is predicted over traced - 1.",
        ),
        tables=(
            table(
                op_rows(measured.ops),
                [
                    Column(key="op", title="op", note="shapes"),
                    Column(key="phase", title="phase"),
                    Column(key="firings", title="firings a step", kind="count"),
                    Column(key="predicted_s", title="predicted", kind="seconds"),
                    Column(key="solo_s", title="solo", kind="seconds"),
                    Column(key="traced_s", title="traced", kind="seconds"),
                    Column(key="error_frac", title="error", kind="signed_frac"),
                    Column(key="share_frac", title="share of step", kind="frac"),
                ],
                caption="Ops of one step",
                by="share_frac",
                sortable=True,
            ),
        ),
    )


def timeline(case: Case) -> Section:
    """Return the timelines: of the trace, or of the prediction alone."""
    measured = case.measured
    steps: Steps | None
    if measured and measured.trace:
        steps = traced_steps(measured.trace)
        text = f"Predicted end {format_s(end_s(steps.predicted))}. {_traced_note(measured)}"
    else:
        steps = replayed_steps(case.plans, case.subject)
        text = "The predicted step; a measurement adds the real one below it."
    if steps is None:
        return Section(
            text=(
                "Not drawn: the plan was predicted by another version of the tool, or its model is"
                " not known here.",
            )
        )
    columns = [
        Column(key="rank", title="rank", kind="count"),
        Column(key="phase", title="phase"),
        Column(key="predicted_s", title="predicted", kind="seconds"),
    ]
    if steps.measured:
        columns.append(Column(key="measured_s", title="measured", kind="seconds"))
    return Section(
        text=(text,),
        drawings=(
            Drawing(
                caption="One lane a rank; exchange in the strip below computation; gaps: waiting",
                svg=timeline_figure(steps),
                is_wide=True,
            ),
        ),
        tables=(
            table(
                busy_rows(steps),
                columns,
                caption="Task time by rank and phase, overlap counted twice",
            ),
        ),
    )


def memory(case: Case) -> Section:
    """Return the arena by category, and arena against live peak by rank."""
    prediction: Prediction = case.subject.prediction
    rows = memory_rows(prediction)
    text = [
        "A worker allocates one arena before the first step and nothing after. Registers that are"
        " never alive together share bytes, so the categories are those of the moment when most is"
        " alive. The live peak is the least the simulated step could do with; the waste of static"
        f" allocation is a factor of {prediction.waste:.2f} on the fullest worker.",
    ]
    if case.measured and case.measured.arena:
        text.append(_proof(case.measured.arena, prediction))
    return Section(
        text=tuple(text),
        drawings=(
            Drawing(
                caption="Arena of rank 0 by category, above its live peak",
                svg=memory_figure(rows, prediction.live_peak_bytes[0]),
            ),
        ),
        tables=(
            table(
                rows,
                [
                    Column(key="category", title="category", note="meaning"),
                    Column(key="bytes", title="arena of rank 0", kind="bytes"),
                    Column(key="frac", title="share", kind="frac"),
                ],
            ),
            table(
                arena_rows(prediction),
                [
                    Column(key="rank", title="rank", kind="count"),
                    Column(key="arena_bytes", title="arena", kind="bytes"),
                    Column(key="live_peak_bytes", title="live peak", kind="bytes"),
                    Column(key="waste", title="waste", kind="factor"),
                ],
                caption="Arena against live peak",
            ),
        ),
    )


def _proof(proof: ArenaProof, prediction: Prediction) -> str:
    """Say what a check has proved of the arenas."""
    apart = max(proof.unpacked_bytes) / max(prediction.arena_bytes)
    return (
        f"Proved in this check: {proof.steps} steps ended in the same bits when every freed"
        " register was poisoned; they wrote to the last line of the arena and not behind it, and"
        f" held at most {format_bytes(max(proof.beside_bytes))} beside it. Registers side by side"
        f" would take {apart:.2f} times the arena."
    )


def training(case: Case) -> Section:
    """Return what the run learnt, and how steady its steps were."""
    if case.measured is None or not case.measured.executions:
        return NOT_MEASURED
    runs = case.measured.executions
    last = runs[-1]
    same = len({run.parameters_sha256 for run in runs}) == 1
    text = [f"{len(last.losses):,} steps took {format_s(last.training_s)}, warm-up included."]
    if last.test_accuracy is not None:
        text.append(f"Accuracy on the test set: {100 * last.test_accuracy:.1f} %.")
    if len(runs) > 1:
        text.append(
            "All executions ended with the same parameters, bit for bit."
            if same
            else "The executions ended with different parameters."
        )
    drawn = (Drawing(caption="Training loss by step", svg=loss_figure(last.losses)),)
    return Section(
        text=(" ".join(text),),
        drawings=drawn if last.losses else (),
        tables=(
            table(
                execution_rows(runs),
                [
                    Column(key="execution", title="execution", kind="count"),
                    Column(key="steps", title="timed steps", kind="count"),
                    Column(key="step_s", title="median step", kind="seconds"),
                    Column(key="iqr_s", title="IQR", kind="seconds"),
                    Column(key="p90_s", title="90th percentile", kind="seconds"),
                    Column(key="first_loss", title="first loss", kind="number"),
                    Column(key="last_loss", title="last loss", kind="number"),
                    Column(key="accuracy_frac", title="test accuracy", kind="frac"),
                    Column(key="training_s", title="training", kind="seconds"),
                    Column(key="arena_intact", title="arena intact", kind="flag"),
                    Column(key="parameters", title="parameters sha256"),
                ],
                caption="Executions",
            ),
            table(
                loss_rows(last.losses),
                [
                    Column(key="step", title="step", kind="count"),
                    Column(key="loss", title="training loss", kind="number", digits=4),
                ],
                caption="Training loss of the last execution",
            ),
        ),
    )


def sentinels(case: Case) -> Section:
    """Return the fixed ops that were timed before and after each execution."""
    rows = sentinel_rows(case.measured.executions) if case.measured else []
    if not rows:
        return NOT_MEASURED
    worst = max((abs(row["moved_frac"] or 0.0) for row in rows), default=0.0)
    return Section(
        text=(
            "Fixed ops, timed before and after each execution, as a mean over ranks. The largest"
            f" change is {100 * worst:.1f} %. The spread is the slowest rank over the fastest - 1.",
        ),
        tables=(
            table(
                rows,
                [
                    Column(key="execution", title="execution", kind="count"),
                    Column(key="op", title="sentinel", note="shapes"),
                    Column(key="before_s", title="before", kind="seconds"),
                    Column(key="after_s", title="after", kind="seconds"),
                    Column(key="moved_frac", title="change", kind="signed_frac"),
                    Column(key="spread_frac", title="spread of ranks", kind="frac"),
                ],
                caption="Sentinels",
            ),
        ),
    )

"""The sections of a run: predicted beside measured, and where the difference comes from."""

from dataclasses import replace

from hwprofiles.units import format_frac, format_s
from planner.measurement import Measurement
from reports.bar_figures import interval_figure
from reports.case import Case, Cases
from reports.compare import (
    execution_rows,
    loss_rows,
    op_rows,
    sentinel_rows,
    split_parts,
    split_rows,
    whole_drift,
)
from reports.figures import loss_figure, split_figure
from reports.parts import Block, Drawing, Section, each
from reports.rows import command_lines, data_command
from reports.tables import Column, table, text_signed_frac
from reports.words import VERDICT_WORDS

MEASURE = "Measured beside predicted"
NONE_RAN = (
    "None of these plans has been measured. A run is on the machine at hand, of a plan for the"
    " cluster named local; give its measurement.json beside its plan file."
)


def verdict(cases: Cases) -> Section:
    """Return predicted beside measured, and what a check concluded."""
    return each(cases, _verdict)


def _verdict(case: Case) -> Block | None:
    measured = case.measured
    if measured is None:
        return None
    prediction = measured.ranked.prediction
    low_s, high_s = prediction.interval_s
    inside = "inside" if low_s <= measured.step_s <= high_s else "outside"
    text = [
        f"{measured.ranked.label}: predicted {format_s(prediction.step_s)}, measured"
        f" {format_s(measured.step_s)} a step: error {text_signed_frac(measured.error_frac)},"
        f" {inside} the stated interval of {format_s(low_s)} to {format_s(high_s)}.",
        _which(case),
    ]
    if measured.replay:
        text.append(f"Rank {measured.replay.rank} ran alone: {measured.replay.words}.")
    points: tuple[str, ...] = ()
    check = measured.check
    if check is None:
        text.append(f"Not checked: {VERDICT_WORDS['not checked']}.")
    else:
        allowed = check.claim_frac * check.gate
        gate = f" (claim {_percent(check.claim_frac)} x gate {check.gate:g})" * (check.gate != 1)
        text.append(
            f"Check {case.verdict}: error {text_signed_frac(check.error_frac)}, allowed"
            f" {_percent(allowed)} either way{gate}; {VERDICT_WORDS[case.verdict]}."
        )
        points = tuple(f"void: {reason}" for reason in check.void_reasons)
    return Block(text=tuple(filter(None, text)), points=points, drawings=_interval(case))


def _interval(case: Case) -> tuple[Drawing, ...]:
    """Draw a case that stands alone; several are drawn together, at the top of the page."""
    if case.name:
        return ()
    caption = "Predicted step, its stated interval, and the measured step"
    return (Drawing(caption=caption, svg=interval_figure((case,))),)


def unmeasured(cases: Cases) -> Section:
    """Say how to get a measurement; only a prediction of the machine at hand can have one."""
    if any(case.measured for case in cases):
        return ()
    if len(cases) > 1:
        return (Block(title=MEASURE, text=(NONE_RAN,)),)
    (case,) = cases
    run = (
        data_command(case.plans),
        "foreplan execute plan.json --check -o measurement.json",
        "foreplan report plan.json measurement.json -o report.html",
    )
    if case.plans.cluster.partition(":")[0] == "local":
        text = "These commands run the plan for real and set it beside this:"
        return (Block(title=MEASURE, text=(text,), commands=run),)
    here = Case(plans=replace(case.plans, cluster="local"))
    text = (
        f"A run is on the machine at hand, which {case.plans.cluster} is not; these commands"
        " predict the same question for this machine, and measure that:"
    )
    return (Block(title=MEASURE, text=(text,), commands=(*command_lines(here), *run)),)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _which(case: Case) -> str:
    """Say which plan of the file ran, where it is not simply the best as predicted there."""
    if case.pick is None:
        return "The plan that ran is not in the plan file."
    text = f"It is number {case.pick + 1} of the plan file." if case.pick else ""
    listed, ran = case.plans.plans[case.pick].prediction.step_s, case.subject.prediction.step_s
    if listed != ran:
        text += (
            f" The plan file predicted {format_s(listed)}; the ops were timed again for this run,"
            f" and the prediction that counts is {format_s(ran)}."
        )
    return text.strip()


def traced_note(measured: Measurement) -> str:
    """Say how the traced step, whose tasks are shown, compares with an untraced one."""
    traced_s = sum(measured.phases_s.values())
    return (
        f"The measured side is one traced step, which took {format_s(traced_s)};"
        f" the median untraced step took {format_s(measured.step_s)}"
        f" ({text_signed_frac(traced_s / measured.step_s - 1)})."
    )


def split(cases: Cases) -> Section:
    """Return the error in three parts, in words, as a figure and as a sum."""
    places = {case.name: place for place, case in enumerate(cases)}
    return each(cases, lambda case: _split(case, places[case.name]))


def _split(case: Case, place: int) -> Block | None:
    measured = case.measured
    if measured is None or measured.split is None:
        return None
    parts = split_parts(measured.split)
    largest = max(parts, key=lambda part: abs(part.change_ns))
    total_ns = parts[-1].to_ns - parts[0].from_ns
    gross_ns = sum(abs(part.change_ns) for part in parts)
    cancel = (
        f" They cancel in part: without their signs they are {format_s(gross_ns / 1e9)}."
        if gross_ns > abs(total_ns)
        else ""
    )
    return Block(
        text=(
            "The same step is simulated three times: with the costs of the plan file (P0), with"
            " every op as it ran alone (P1), and with every op as it ran inside the step (P2). What"
            " then is missing to the measured step (M) no op time explains.",
            f"Together the parts add {_signed(total_ns)} to the predicted step; the largest is"
            f" {largest.name} with {_signed(largest.change_ns)}.{cancel}",
        ),
        drawings=(
            Drawing(
                caption="From predicted to measured, part by part; the axis does not begin at 0.",
                svg=split_figure(parts, place),
            ),
        ),
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


def _signed(ns: int) -> str:
    return f"{'+' * (ns > 0)}{format_s(ns / 1e9)}"


def ops(cases: Cases) -> Section:
    """Return every op, the most expensive first."""
    return each(cases, _ops)


def _ops(case: Case) -> Block | None:
    measured = case.measured
    if measured is None or not measured.ops:
        return None
    return Block(
        text=(
            "Times are of one firing: predicted, alone (solo) and inside a step (traced). The share"
            " is of the traced time of all ops on all ranks, the error predicted over traced - 1."
            " Below an op: the shapes that it reads and writes, its settings, its dtype, and how"
            " much other memory is touched before it runs again.",
        ),
        tables=(
            table(
                op_rows(measured.ops),
                [
                    Column(key="phase", title="phase"),
                    Column(key="op", title="op", note="shapes"),
                    Column(key="firings", title="firings a step", kind="count"),
                    Column(key="predicted_s", title="predicted", kind="seconds"),
                    Column(key="solo_s", title="solo", kind="seconds"),
                    Column(key="traced_s", title="traced", kind="seconds"),
                    Column(key="error_frac", title="error", kind="signed_frac"),
                    Column(key="share_frac", title="share of work", kind="frac"),
                ],
                caption="Ops of one step",
                by="share_frac",
                sortable=True,
            ),
        ),
    )


def training(cases: Cases) -> Section:
    """Return what the runs learnt, and how steady their steps were."""
    places = {case.name: place for place, case in enumerate(cases)}
    return each(cases, lambda case: _training(case, places[case.name]))


def _training(case: Case, place: int) -> Block | None:
    if case.measured is None or not case.measured.executions:
        return None
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
    drawn = (Drawing(caption="Training loss by step", svg=loss_figure(last.losses, place)),)
    return Block(
        text=(" ".join(text),),
        drawings=drawn if last.losses else (),
        tables=(
            table(
                loss_rows(last.losses),
                [
                    Column(key="step", title="step", kind="count"),
                    Column(key="loss", title="training loss", kind="number", digits=4),
                ],
                caption="Training loss of the last execution",
            ),
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
                sortable=True,
            ),
        ),
    )


def sentinels(cases: Cases) -> Section:
    """Return the fixed ops that were timed before and after each execution."""
    return each(cases, _sentinels)


def _sentinels(case: Case) -> Block | None:
    rows = sentinel_rows(case.measured.executions) if case.measured else []
    if not rows or case.measured is None:
        return None
    worst = max((abs(row["moved_frac"] or 0.0) for row in rows), default=0.0)
    return Block(
        text=(
            "Fixed ops, timed before and after each execution, as a mean over ranks. The largest"
            f" change in one execution is {format_frac(worst)}; from before the first to after the"
            f" last, which a check holds to, it is {format_frac(whole_drift(case.measured))}. The"
            " spread is the slowest rank over the fastest - 1.",
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
                sortable=True,
            ),
        ),
    )

"""The top of the page: its title, the answer in one sentence, and the few numbers to remember."""

from hwprofiles.units import format_bytes, format_s
from reports.bar_figures import interval_figure
from reports.case import Case, Cases, layout
from reports.facts import lines, names
from reports.parts import Block, Drawing, Figure, Section
from reports.tables import (
    Table,
    compared,
    text_rate,
    text_signed_frac,
)


def title(cases: Cases) -> str:
    """Return the heading of the page: what all cases have in common, and what tells them apart."""
    first = cases[0].plans
    questions = [(c.plans.model, c.plans.cluster, c.plans.training.batch) for c in cases]
    if len(set(questions)) == 1:
        whole = f"{first.model} on {first.cluster}, batch {first.training.batch}"
    else:
        one = [len(set(part)) == 1 for part in zip(*questions, strict=True)]
        parts = (first.model, f"on {first.cluster}", f"batch {first.training.batch}")
        whole = ", ".join(part for part, same in zip(parts, one, strict=True) if same)
    if len(cases) == 1:
        return whole
    return f"{whole}{': ' if whole else ''}{' against '.join(names(cases))}"


def sentence(case: Case) -> str:
    """Return the answer as one would quote it."""
    plans = case.plans
    asked = f"{plans.model} with batch {plans.training.batch:,} on {plans.cluster}"
    return f"{asked}: {found(case)}"


def found(case: Case) -> str:
    """Return the answer without its question."""
    best = case.best.prediction
    return (
        f"{layout(case.best.plan)}: {format_s(best.step_s)} a step,"
        f" {text_rate(best.samples_per_s)} (grade {best.grade}, {case.plans.interval_kind} interval"
        f" {format_s(best.interval_s[0])} to {format_s(best.interval_s[1])})."
    )


def lead(cases: Cases) -> str:
    """Return the page in one sentence: the answer or, of several, which is faster by how much."""
    if len(cases) == 1:
        return sentence(cases[0])
    ranked = sorted(cases, key=lambda case: case.plans.training.batch / _step_s(case), reverse=True)
    best, *others = ranked
    most = best.plans.training.batch / _step_s(best)
    longer = [
        f"{case.name} takes {most * _step_s(case) / case.plans.training.batch:.3g} times as long"
        for case in others
    ]
    return (
        f"Of these {len(cases)} plans {best.name} is the {'fastest' if others[1:] else 'faster'}:"
        f" {format_s(_step_s(best))} a step, {text_rate(most)}. For as many samples"
        f" {', '.join(longer)}."
    )


def _step_s(case: Case) -> float:
    return case.measured.step_s if case.measured else case.subject.prediction.step_s


def headline(cases: Cases) -> tuple[Figure, ...]:
    """Return the few numbers at the top of the page of one plan."""
    if len(cases) > 1:
        return ()
    case = cases[0]
    measured, prediction = case.measured, case.subject.prediction
    low_s, high_s = prediction.interval_s
    found = [
        Figure(
            title="predicted step",
            value=format_s(prediction.step_s),
            note=f"{format_s(low_s)} to {format_s(high_s)}, grade {prediction.grade}",
        )
    ]
    if measured:
        runs = len(measured.executions)
        found += [
            Figure(
                title="measured step",
                value=format_s(measured.step_s),
                note=f"median of {runs} execution{'s' * (runs != 1)}",
            ),
            Figure(
                title="error",
                value=text_signed_frac(measured.error_frac),
                note="predicted / measured - 1",
            ),
        ]
    return (
        *found,
        Figure(
            title="throughput",
            value=text_rate(case.plans.training.batch / _step_s(case)),
            note="measured" if measured else "predicted",
        ),
        Figure(
            title="memory of a worker",
            value=format_bytes(max(prediction.arena_bytes)),
            note=f"arena of the fullest; {prediction.waste:.2f} x its live peak",
        ),
    )


def overview(cases: Cases) -> Section:
    """Return the plans of a comparison side by side, with what differs from the first."""
    if len(cases) == 1:
        return ()
    drawn = Drawing(
        caption=f"The step of every plan on one axis.{_unsure(cases)}",
        svg=interval_figure(cases),
    )
    return (Block(drawings=(drawn,), tables=(overview_table(cases),)),)


def _unsure(cases: Cases) -> str:
    """Say where the two fastest plans of one batch are closer than their intervals."""
    if len({case.plans.training.batch for case in cases}) > 1 or any(c.measured for c in cases):
        return ""
    first, second = sorted(cases, key=_step_s)[:2]
    if first.subject.prediction.interval_s[1] < second.subject.prediction.interval_s[0]:
        return ""
    return f" The intervals of {first.name} and {second.name} overlap: a run may turn their order."


def overview_table(cases: Cases) -> Table:
    """Return the quantities of every plan, and how far they are from the first plan's."""
    measured = [("measured step", lambda c: c.measured.step_s if c.measured else None)]
    return compared(
        names(cases),
        [
            *lines(
                cases,
                ("predicted step", lambda c: c.subject.prediction.step_s),
                *(measured if any(case.measured for case in cases) else []),
                kind="seconds",
            ),
            *lines(
                cases, ("throughput", lambda c: c.plans.training.batch / _step_s(c)), kind="rate"
            ),
            *lines(
                cases,
                ("closed form", lambda c: c.subject.prediction.closed_form_s),
                ("bound", lambda c: c.subject.prediction.bound_s),
                kind="seconds",
            ),
            *lines(
                cases,
                ("arena of the fullest worker", lambda c: max(c.subject.prediction.arena_bytes)),
                ("its live peak", lambda c: max(c.subject.prediction.live_peak_bytes)),
                kind="bytes",
            ),
            *lines(
                cases,
                ("workers", lambda c: c.subject.plan.workers),
                ("tasks of a step", lambda c: c.subject.prediction.tasks),
                kind="count",
            ),
            *lines(cases, ("grade", lambda c: c.subject.prediction.grade)),
        ],
        caption=f"Below a number: how far it is from {cases[0].name}" if len(cases) > 1 else "",
    )

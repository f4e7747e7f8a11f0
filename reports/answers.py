"""The first sections: what was asked, what the answer is, and why nothing else is faster."""

from collections.abc import Callable, Iterable
from typing import Any

from hwprofiles.units import format_bytes, format_s
from planner.optimizer import optimizer
from planner.plan import Training
from reports.bar_figures import interval_figure
from reports.case import Case, Cases, layout
from reports.parts import Block, Drawing, Figure, Section
from reports.rows import candidate_rows, verdict_meaning
from reports.tables import (
    Column,
    Line,
    Table,
    compared,
    split_common,
    table,
    text_rate,
    text_signed_frac,
)


def lines(cases: Cases, *rows: tuple[str, Callable[[Case], Any]], kind: str = "text") -> list[Line]:
    """Return a line a row: its title, and how its value is had from a case."""
    return [Line(title=t, values=tuple(get(c) for c in cases), kind=kind) for t, get in rows]


def names(cases: Cases) -> list[str]:
    """Return the names of the cases, as titles of columns."""
    return [case.name for case in cases]


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
    return f"{asked}: {_found(case)}"


def _found(case: Case) -> str:
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


def question(cases: Cases) -> Section:
    """Return model, cluster and training as they were asked for."""
    first, training = cases[0].plans, cases[0].plans.training
    asked = (
        f"How is {first.model} trained fastest on {first.cluster}, with the same update as one"
        f" worker would make on all {training.batch} samples of a batch?"
    )
    if len(cases) > 1:
        asked = (
            "Which of these plans trains faster, and why? Each is the best of its own search, and"
            " makes the same update as one worker would make on the whole batch."
        )
    facts = lines(
        cases,
        ("model", lambda c: c.plans.model),
        ("cluster", lambda c: c.plans.cluster),
        ("batch", lambda c: f"{c.plans.training.batch:,} samples a step, over all workers"),
        ("dtype", lambda c: c.plans.training.dtype),
        ("optimizer", lambda c: _optimizer(c.plans.training)),
        ("seed", lambda c: c.plans.training.seed),
        ("tool", lambda c: c.plans.tool),
    )
    return (Block(text=(asked,), tables=side_by_side(cases, facts)),)


def side_by_side(cases: Cases, facts: list[Line]) -> tuple[Table, ...]:
    """Return the facts of one plan; of several what differs, side by side, and what does not."""
    if len(cases) == 1:
        return (compared([""], facts),)
    differ, common = split_common(facts)
    found = [compared(names(cases), differ)] if differ else []
    return (*found, *([compared([""], common, caption="The same for all")] if common else []))


def _optimizer(training: Training) -> str:
    """Return the optimizer with the settings that it takes."""
    taken = optimizer(training.optimizer).SETTINGS
    settings = (f"{name.replace('_', ' ')} {getattr(training, name):g}" for name in taken)
    return f"{training.optimizer}, {', '.join(settings)}"


def answer(cases: Cases) -> Section:
    """Return each answer in one sentence, and the plans behind them in full."""
    plan = {case.name: case.subject.plan for case in cases}

    def exchanged(get: Callable[[Case], str]) -> Callable[[Case], str | None]:
        return lambda case: get(case) if plan[case.name].workers > 1 else None

    rows = lines(
        cases,
        ("plan", lambda c: c.subject.label),
        ("workers", lambda c: plan[c.name].workers),
        ("on devices", lambda c: _devices(plan[c.name].placement)),
        ("microbatch", _passes),
        ("exchange", exchanged(lambda c: plan[c.name].algorithm)),
        (
            "buckets",
            exchanged(lambda c: f"closed at {format_bytes(plan[c.name].bucket_bytes)}"),
        ),
        (
            "gradients leave",
            exchanged(lambda c: f"{'during' if plan[c.name].overlap else 'after'} backward"),
        ),
        ("slots", _slots),
    )
    rows = [row for row in rows if any(value is not None for value in row.values)]
    said = (sentence(cases[0]),) if len(cases) == 1 else ()
    points = tuple(f"{c.name}: {_found(c)}" for c in cases) if len(cases) > 1 else ()
    return (Block(text=said, points=points, tables=side_by_side(cases, rows)),)


def _devices(placement: tuple[int, ...]) -> str:
    """Return the devices in rank order, runs of them shortened.

    >>> _devices((0, 1, 2, 3, 8)), _devices((1,))
    ('0 to 3, 8', '1')
    """
    runs: list[list[int]] = []
    for device in placement:
        if runs and device == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], device]
        else:
            runs.append([device])
    return ", ".join(" to ".join(map(str, dict.fromkeys(run))) for run in runs)


def _passes(case: Case) -> str:
    plan = case.subject.plan
    passes = plan.microbatches(case.plans.training.batch)
    return f"{plan.microbatch} samples, {passes} a step on each worker"


def _slots(case: Case) -> str:
    plan = case.subject.plan
    return (
        f"input {plan.input_slots}, activations {plan.activation_slots},"
        f" landing {plan.landing_slots}"
    )


def certificate(cases: Cases) -> Section:
    """Return the account of every candidate: rejected by reason, pruned, simulated."""
    proofs = [case.plans.certificate for case in cases]
    said = [
        f"{case.name}: {proof.statement}." if len(cases) > 1 else f"{_upper(proof.statement)}."
        for case, proof in zip(cases, proofs, strict=True)
    ]
    verdicts = dict.fromkeys(name for proof in proofs for name in proof.by_verdict)
    counted = [
        Line(
            title=name.replace("_", " "),
            values=tuple(proof.by_verdict.get(name, 0) for proof in proofs),
            kind="count",
            meaning=verdict_meaning(name),
        )
        for name in verdicts
        if any(proof.by_verdict.get(name) for proof in proofs)
    ]
    counted.append(
        Line(title="all candidates", values=tuple(p.candidates for p in proofs), kind="count")
    )
    fates = (
        ("simulated", "simulated", f"engine: {_once(p.engine for p in proofs)}"),
        ("pruned by bound", "pruned_by_bound", "no schedule of theirs is faster than the best"),
        ("pruned by dominance", "pruned_by_dominance", _once(p.dominance for p in proofs)),
        ("not reached", "not_reached", f"search ended by: {_once(p.stopped_by for p in proofs)}"),
    )
    searched = [
        Line(
            title=name,
            values=tuple(getattr(proof, field) for proof in proofs),
            kind="count",
            meaning=meaning,
        )
        for name, field, meaning in fates
    ]
    return (
        Block(
            text=tuple(said) if len(cases) == 1 else (),
            points=tuple(said) if len(cases) > 1 else (),
            tables=(
                compared(
                    names(cases),
                    counted,
                    caption="Candidates, by verdict",
                    is_changed=False,
                ),
                compared(
                    names(cases),
                    searched,
                    caption="Of those that fit, what became of them",
                    is_changed=False,
                ),
            ),
        ),
    )


def _once(words: Iterable[str]) -> str:
    """Return each of several words once."""
    return "; ".join(dict.fromkeys(words))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def candidates(cases: Cases) -> Section:
    """Return the plans of the files."""
    columns = [
        Column(key="rank", title="#", kind="count"),
        Column(key="label", title="plan", wraps=True),
        Column(key="workers", title="workers", kind="count"),
        Column(key="microbatch", title="microbatch", kind="count"),
        Column(key="algorithm", title="exchange"),
        Column(key="bucket_bytes", title="bucket", kind="bytes"),
        Column(key="overlap", title="overlap", kind="flag"),
        Column(key="step_s", title="step", kind="seconds", digits=4),
        Column(key="slower_frac", title="slower by", kind="frac"),
        Column(key="samples_per_s", title="throughput", kind="rate"),
        Column(key="closed_form_s", title="closed form", kind="seconds", digits=4),
        Column(key="bound_s", title="bound", kind="seconds", digits=4),
        Column(key="arena_bytes", title="memory", kind="bytes"),
        Column(key="grade", title="grade"),
    ]
    if len(cases) > 1:
        columns.insert(0, Column(key="case", title="search"))
    found = table(
        [row for case in cases for row in candidate_rows(case)],
        columns,
        caption="Simulated step, best of each search first; memory is the arena of the fullest"
        " worker",
        sortable=True,
    )
    return (Block(tables=(found,)),)

"""The first sections: what was asked, what the answer is, and why nothing else is faster."""

from collections.abc import Callable, Iterable

from hwprofiles.units import format_bytes
from planner.optimizer import optimizer
from planner.plan import Training
from reports.case import Case, Cases
from reports.facts import lines, names, side_by_side
from reports.opening import found, sentence
from reports.parts import Block, Section
from reports.rows import candidate_rows, verdict_meaning
from reports.tables import (
    Column,
    Line,
    compared,
    table,
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
    points = tuple(f"{c.name}: {found(c)}" for c in cases) if len(cases) > 1 else ()
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

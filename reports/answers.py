"""The first sections: what was asked, the plan in full, and whether another could be better."""

from collections.abc import Callable, Iterable, Sequence

from hwprofiles.units import format_bytes
from planner.certificate import Certificate
from planner.optimizer import optimizer
from planner.plan import Training
from planner.records import PlanFile
from reports.aims import aims, wanted
from reports.case import Case, Cases, algorithm_words
from reports.facts import lines, names, numbers, side_by_side
from reports.opening import proved
from reports.parts import Block, Section
from reports.rows import candidate_rows, verdict_meaning
from reports.tables import (
    FORMATS,
    Column,
    Line,
    compared,
    table,
)
from reports.words import STOP_WORDS

CHOSEN = ("workers", "microbatch", "algorithm", "bucket_bytes", "overlap", "grade")
"""Columns of the candidates that are told once where all plans have the same."""


def answer(cases: Cases) -> Section:
    """Return what was asked for, and the plans that were found, in full."""
    asked, found = _asked(cases), _planned(cases)
    if len(cases) > 1:
        return (Block(tables=side_by_side(cases, [*asked, *found])),)
    return (
        Block(
            tables=(
                compared([""], asked, caption="What was asked"),
                compared([""], found, caption="The plan that was found"),
            )
        ),
    )


def _asked(cases: Cases) -> list[Line]:
    """Return model, cluster and training as they were asked for."""
    return lines(
        cases,
        ("model", lambda c: c.plans.model),
        ("cluster", lambda c: c.plans.cluster),
        ("batch", lambda c: f"{c.plans.training.batch:,} samples a step, over all workers"),
        ("dtype", lambda c: c.plans.training.dtype),
        ("optimizer", lambda c: _optimizer(c.plans.training)),
        ("seed", lambda c: c.plans.training.seed),
        ("held to", lambda c: _held(c.plans)),
    )


def _held(plans: PlanFile) -> str:
    """Return what the search was held to with --fix and --max."""
    most = (f"{name} at most {value:g}" for name, value in plans.most.items())
    fixed = (f"{name} {value}" for name, value in (plans.fixed or {}).items())
    unsaid = "" if plans.fixed is not None else "not told"
    return ", ".join((*fixed, *most)).replace("_", " ") or unsaid or "nothing"


def _optimizer(training: Training) -> str:
    """Return the optimizer with the settings that it takes."""
    taken = optimizer(training.optimizer).SETTINGS
    settings = (f"{name.replace('_', ' ')} {getattr(training, name):g}" for name in taken)
    return f"{training.optimizer}, {', '.join(settings)}"


def _planned(cases: Cases) -> list[Line]:
    """Return every field of the plans that says how a step is run."""
    plan = {case.name: case.subject.plan for case in cases}

    def exchanged(get: Callable[[Case], str]) -> Callable[[Case], str | None]:
        return lambda case: get(case) if plan[case.name].workers > 1 else None

    rows = lines(
        cases,
        ("plan", lambda c: c.subject.label),
        ("workers", lambda c: plan[c.name].workers),
        ("on devices", lambda c: numbers(plan[c.name].placement)),
        ("microbatch", _passes),
        ("exchange", exchanged(lambda c: algorithm_words(plan[c.name]))),
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
    return [row for row in rows if any(value is not None for value in row.values)]


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
    said = [f"{case.name}: {case.plans.certificate.statement}." for case in cases]
    verdicts = dict.fromkeys(name for proof in proofs for name in proof.by_verdict)
    counted = [
        Line(
            title=name.replace("_", " "),
            values=tuple(proof.by_verdict.get(name, 0) for proof in proofs),
            kind="count",
            meaning=_reason(name, proofs),
        )
        for name in verdicts
        if any(proof.by_verdict.get(name) for proof in proofs)
    ]
    counted.append(
        Line(title="all candidates", values=tuple(p.candidates for p in proofs), kind="count")
    )
    fates = (
        ("simulated", "simulated", "one step, task by task"),
        ("pruned by bound", "pruned_by_bound", "no schedule of theirs is faster than the best"),
        ("pruned by dominance", "pruned_by_dominance", _once(p.dominance for p in proofs)),
        ("not reached", "not_reached", _once(STOP_WORDS.get(p.stopped_by, "") for p in proofs)),
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
            text=(proved(cases[0]),) if len(cases) == 1 else (),
            points=tuple(said) if len(cases) > 1 else (),
            tables=(
                compared(
                    names(cases),
                    counted,
                    caption="Candidates, and why they were rejected",
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


def _reason(name: str, proofs: Sequence[Certificate]) -> str:
    """Return why candidates were rejected, with the first of them."""
    meaning = verdict_meaning(name)
    example = next((p.examples[name] for p in proofs if name in p.examples), "")
    return f"{meaning}; e.g. {example}" if meaning and example else meaning


def _once(words: Iterable[str]) -> str:
    """Return each of several words once."""
    return "; ".join(dict.fromkeys(words))


def candidates(cases: Cases) -> Section:
    """Return the plans of the files, where one of them has several."""
    if all(len(case.plans.plans) == 1 for case in cases):
        return ()
    sought = wanted(case.plans for case in cases)
    known = {aim.name: aim for case in cases for aim in aims(case.plans, sought)}
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
        *(Column(key=aim.name, title=aim.title, kind=aim.kind) for aim in known.values()),
        Column(key="closed_form_s", title="closed form", kind="seconds", digits=4),
        Column(key="bound_s", title="bound", kind="seconds", digits=4),
        Column(key="arena_bytes", title="memory", kind="bytes"),
        Column(key="grade", title="grade"),
    ]
    if len(cases) > 1:
        columns.insert(0, Column(key="case", title="search"))
    rows = [row for case in cases for row in candidate_rows(case, known)]
    alike = [c for c in columns if c.key in CHOSEN and len({row[c.key] for row in rows}) == 1]
    said = ", ".join(f"{c.title} {FORMATS[c.kind](rows[0][c.key], c.digits)}" for c in alike)
    found = table(
        rows,
        [column for column in columns if column not in alike],
        caption="Simulated step, best of each search first; memory is the arena of the fullest"
        f" worker{'; all have ' * bool(alike)}{said}",
        sortable=True,
    )
    return (Block(text=tuple(aim.formula for aim in known.values()), tables=(found,)),)

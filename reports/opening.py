"""The top of the page: title, question, answer, how sure and by how much, in a few sentences."""

from collections.abc import Sequence

from hwprofiles.units import format_bytes, format_frac, format_s
from reports.aims import aims, asked, is_front, wanted
from reports.case import Case, Cases, layout
from reports.facts import names
from reports.parts import Figure
from reports.tables import (
    FORMATS,
    text_rate,
    text_signed_frac,
)

CLOSE, EVEN = 0.005, 0.0005
"""Two times this near, as a share, are told as equal: in words, and as a number of per cent."""


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
        whole = whole if one[0] else _upper(whole)
    if len(cases) == 1:
        return whole
    return f"{whole}{': ' if whole else ''}{' against '.join(names(cases))}"


def question(cases: Cases) -> str:
    """Return what the page answers."""
    first = cases[0].plans
    if len(cases) > 1:
        return (
            "Which of these plans trains faster, and why? Each is the best of its own search, with"
            " the update that one worker would make."
        )
    return (
        f"How is {first.model} trained {asked(first)} on {first.cluster}, with the same update as"
        f" one worker would make on all {first.training.batch:,} samples of a batch?"
    )


def lead(cases: Cases) -> str:
    """Return the answer, how sure it is and by how much it wins, as one would quote it."""
    if len(cases) == 1:
        claim, *_ = proved(cases[0]).partition(";")
        return f"{_found(cases[0])} {claim.rstrip('.')}."
    sample_s = sample_s_of(cases)
    ranked = sorted(cases, key=lambda case: sample_s[case.name])
    best, *others = ranked
    longer = [
        f"{case.name} takes {_times(sample_s[case.name] / sample_s[best.name])}" for case in others
    ]
    return (
        f"Of these {len(cases)} plans {best.name} is the {'fastest' if others[1:] else 'faster'}:"
        f" {_told(best, cases)}. For as many samples {', '.join(longer)}.{_unsure(ranked)}"
    )


def _found(case: Case) -> str:
    """Return the best plan of a file with what it takes."""
    best, plans = case.best.prediction, case.plans
    takes = [f"{format_s(best.step_s)} a step", text_rate(best.samples_per_s)]
    taken = aims(plans, wanted([plans]))
    takes += [f"{FORMATS[a.kind](a.per_million(case.best), 3)} for 1 M samples" for a in taken]
    first = f"First of {len(plans.plans)} such plans: " * is_front(plans)
    return (
        f"{first}{_upper(layout(case.best.plan))}: {', '.join(takes)} (grade {best.grade},"
        f" {plans.interval_kind} interval {format_s(best.interval_s[0])} to"
        f" {format_s(best.interval_s[1])})."
    )


def _told(best: Case, cases: Cases) -> str:
    """Return what the fastest of several takes: measured, or predicted with its interval."""
    rate = text_rate(1 / sample_s_of(cases)[best.name])
    if best.measured and _are_measured(cases):
        return f"{format_s(best.measured.step_s)} a step as measured, {rate}"
    prediction = best.subject.prediction
    low, high = (format_s(s) for s in prediction.interval_s)
    return (
        f"{format_s(prediction.step_s)} a step, {rate} (predicted; grade {prediction.grade},"
        f" {best.plans.interval_kind} interval {low} to {high})"
    )


def proved(case: Case) -> str:
    """Return what the search proved of the best plan, as a sentence."""
    return f"{_upper(case.plans.certificate.statement)}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _times(ratio: float) -> str:
    return "as long" if ratio < 1 + CLOSE else f"{ratio:.3g} times as long"


def _are_measured(cases: Cases) -> bool:
    return all(case.measured for case in cases)


def sample_s_of(cases: Cases) -> dict[str, float]:
    """Return the seconds of a sample by case, like with like: measured only if all are."""
    return {
        case.name: (
            case.measured.step_s
            if case.measured and _are_measured(cases)
            else case.subject.prediction.step_s
        )
        / case.plans.training.batch
        for case in cases
    }


def headline(cases: Cases) -> tuple[Figure, ...]:
    """Return the few numbers at the top of the page of one plan."""
    if len(cases) > 1:
        return ()
    case = cases[0]
    measured, prediction, proof = case.measured, case.subject.prediction, case.plans.certificate
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
    found.append(
        Figure(
            title="throughput",
            value=text_rate(1 / sample_s_of(cases)[case.name]),
            note="measured" if measured else "predicted",
        )
    )
    if is_front(case.plans):
        found.append(
            Figure(
                title="plans on the front",
                value=f"{len(case.plans.plans)}",
                note=f"none beats another in {proof.objective} both",
            )
        )
    elif proof.runner_up:
        gap = f"; one not simulated may be {format_frac(proof.gap_frac)} better" * bool(
            proof.gap_frac
        )
        found.append(
            Figure(
                title="next best plan",
                value=f"{format_frac(proof.runner_up_frac)} slower"
                if proof.runner_up_frac >= EVEN
                else "as fast",
                note=f"of {proof.candidates:,} candidates{gap}",
            )
        )
    return (
        *found,
        Figure(
            title="memory of a worker",
            value=format_bytes(max(prediction.arena_bytes)),
            note=f"arena of the fullest; {prediction.waste:.2f} x its live peak",
        ),
    )


def _unsure(ranked: Sequence[Case]) -> str:
    """Say where the intervals of the two fastest plans do not tell which is faster."""
    first, second = ranked[:2]
    if _are_measured((first, second)):
        return ""
    high, low = (
        case.subject.prediction.interval_s[end] / case.plans.training.batch
        for case, end in ((first, 1), (second, 0))
    )
    if high < low:
        return ""
    return f" The intervals of {first.name} and {second.name} overlap: a run may turn their order."

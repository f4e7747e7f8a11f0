"""The last sections: how the numbers are known, what they rest on, and how to get them again."""

from collections.abc import Callable

from hwprofiles.units import format_frac, format_s
from planner.predict import HEADLINE_FRAC
from planner.records import PlanFile
from reports.case import Case, Cases
from reports.facts import lines, names, side_by_side
from reports.measured import unmeasured
from reports.parts import Block, Section, each
from reports.rows import command_lines, environment_facts, report_line, source_rows, stems
from reports.tables import Column, Line, compared, table
from reports.words import ASSUMPTIONS, GLOSSARY, GRADE_WORDS, RUN_GLOSSARY

MISSING: tuple[tuple[str, Callable[[PlanFile], bool]], ...] = (
    (
        "A plan file here does not say what its search was held to with --fix; add that where it"
        " was used.",
        lambda plans: plans.fixed is None,
    ),
    (
        "Op costs here were shifted by a run of one's own; name its file with --calibrate.",
        lambda plans: bool(plans.evidence and plans.evidence.shifts),
    ),
    (
        "A search here was interrupted; the same command searches to its end.",
        lambda plans: plans.certificate.stopped_by == "interrupt",
    ),
)
"""What the commands do not say, and of which plan files."""


def grades(cases: Cases) -> Section:
    """Return grades and intervals, the share of the critical path by grade, and the sources."""
    found = [case.subject.prediction for case in cases]
    stated = [
        *lines(
            cases,
            ("predicted step", lambda c: c.subject.prediction.step_s),
            ("closed form", lambda c: c.subject.prediction.closed_form_s),
            ("bound", lambda c: c.subject.prediction.bound_s),
            kind="seconds",
        ),
        *lines(cases, ("interval", _interval), ("grade", lambda c: c.subject.prediction.grade)),
    ]
    shares = [
        Line(
            title=f"critical path {name}",
            values=tuple(p.grade_frac.get(name, 0.0) for p in found),
            kind="frac",
            meaning=GRADE_WORDS.get(name, ""),
        )
        for name in dict.fromkeys(name for p in found for name in p.grade_frac)
        if any(p.grade_frac.get(name) for p in found)
    ]
    return (
        Block(
            text=(
                f"The grade of a plan is the weakest that covers {format_frac(HEADLINE_FRAC, 0)} or"
                " more of the critical path; it gives the interval its width.",
            ),
            tables=(
                compared(
                    names(cases),
                    [*stated, *shares],
                    caption="Grades and intervals",
                    is_changed=False,
                ),
            ),
        ),
        *each(cases, _sources),
    )


def _interval(case: Case) -> str:
    low, high = (format_s(s) for s in case.subject.prediction.interval_s)
    return f"{low} to {high} ({case.plans.interval_kind})"


def _sources(case: Case) -> Block:
    known = case.plans.evidence
    return Block(
        points=tuple(stack.sentence for stack in known.stacks) if known else (),
        tables=(
            table(
                source_rows(case),
                [
                    Column(key="part", title="part"),
                    Column(key="kind", title="is a"),
                    Column(key="count", title="in the cluster", kind="count"),
                    Column(key="source", title="source", wraps=True),
                ],
                caption="Where the figures of the cluster come from",
            ),
        ),
    )


def assumptions(cases: Cases) -> Section:
    """Return what the predictions take for granted."""
    del cases
    return (Block(points=ASSUMPTIONS),)


def environment(cases: Cases) -> Section:
    """Return hashes, versions and the identity of the workers."""
    found = [dict(environment_facts(case)) for case in cases]
    rows = [
        Line(title=name, values=tuple(own.get(name) for own in found))
        for name in dict.fromkeys(name for own in found for name in own)
    ]
    return (Block(tables=side_by_side(cases, rows)),)


def reproduction(cases: Cases) -> Section:
    """Return the commands that make this page again, and those that measure what it predicts."""
    files = stems(cases)
    commands = [
        line for case, stem in zip(cases, files, strict=True) for line in command_lines(case, stem)
    ]
    once = list(dict.fromkeys(commands))
    text = [words for words, holds in MISSING if any(holds(case.plans) for case in cases)]
    return (
        Block(text=tuple(text), commands=(*once, report_line(cases))),
        *unmeasured(cases),
    )


def glossary(cases: Cases) -> Section:
    """Return what the words of the page mean."""
    ran = any(case.measured for case in cases)
    return (Block(terms=(*GLOSSARY, *(RUN_GLOSSARY if ran else ()))),)

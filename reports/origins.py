"""The last sections: how the numbers are known, what they rest on, and how to get them again."""

from hwprofiles.units import format_frac
from planner.predict import HEADLINE_FRAC
from reports.answers import lines, names
from reports.case import Case, Cases
from reports.parts import Block, Section, each
from reports.rows import command_lines, environment_facts, report_line, source_rows, stems
from reports.tables import Column, Line, compared, facts, table
from reports.words import ASSUMPTIONS, GLOSSARY, GRADE_WORDS


def grades(cases: Cases) -> Section:
    """Return grades and intervals, the share of the critical path by grade, and the sources."""
    found = [case.subject.prediction for case in cases]
    stated = [
        *lines(
            cases,
            ("predicted step", lambda c: c.subject.prediction.step_s),
            ("interval from", lambda c: c.subject.prediction.interval_s[0]),
            ("to", lambda c: c.subject.prediction.interval_s[1]),
            kind="seconds",
        ),
        *lines(cases, ("headline grade", lambda c: c.subject.prediction.grade)),
    ]
    shares = [
        Line(
            title=f"critical path {name}",
            values=tuple(p.grade_frac.get(name, 0.0) for p in found),
            kind="frac",
            meaning=GRADE_WORDS.get(name, ""),
        )
        for name in dict.fromkeys(name for p in found for name in p.grade_frac)
    ]
    return (
        Block(
            text=(
                f"The headline grade is the weakest that covers {format_frac(HEADLINE_FRAC, 0)} or"
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
    return each(cases, lambda case: Block(tables=(facts(environment_facts(case)),)))


def reproduction(cases: Cases) -> Section:
    """Return the commands that make this page again."""
    files = stems(cases)
    commands = [
        line for case, stem in zip(cases, files, strict=True) for line in command_lines(case, stem)
    ]
    once = list(dict.fromkeys(commands))
    silent = [case for case in cases if case.plans.fixed is None]
    text = (
        "A plan file here does not say what its search was held to with --fix; add that where it"
        " was used."
        if silent
        else ""
    )
    return (Block(text=(text,) if text else (), commands=(*once, report_line(cases))),)


def glossary(cases: Cases) -> Section:
    """Return what the words of the page mean."""
    del cases
    return (Block(terms=GLOSSARY),)

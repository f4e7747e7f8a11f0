"""The last sections: how the numbers are known, what they rest on, and how to get them again."""

from planner.predict import HEADLINE_FRAC
from reports.case import Case
from reports.parts import Section
from reports.rows import command_lines, environment_facts, grade_rows, source_rows
from reports.tables import Column, facts, table
from reports.words import ASSUMPTIONS, GLOSSARY


def grades(case: Case) -> Section:
    """Return the share of the critical path by grade, and the source of every part."""
    prediction = case.subject.prediction
    return Section(
        text=(
            f"Headline grade: {prediction.grade}, the weakest that covers"
            f" {100 * HEADLINE_FRAC:.0f} % or more of the critical path.",
        ),
        tables=(
            table(
                grade_rows(prediction),
                [
                    Column(key="grade", title="grade", note="meaning"),
                    Column(key="frac", title="share of critical path", kind="frac"),
                ],
                caption="Critical path by grade",
            ),
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


def assumptions(case: Case) -> Section:
    """Return what the prediction takes for granted."""
    return Section(points=ASSUMPTIONS)


def environment(case: Case) -> Section:
    """Return hashes, versions and the identity of the workers."""
    return Section(tables=(facts(environment_facts(case)),))


def reproduction(case: Case) -> Section:
    """Return the commands that make this page again."""
    return Section(
        text=("Choices fixed with --fix are not in the plan file; add them where they were used.",),
        commands=tuple(command_lines(case)),
    )


def glossary(case: Case) -> Section:
    """Return what the words of the page mean."""
    return Section(terms=GLOSSARY)

"""Facts of cases as lines of a table, side by side."""

from collections.abc import Callable
from typing import Any

from reports.case import Case, Cases
from reports.tables import (
    Line,
    Table,
    compared,
    split_common,
)


def lines(cases: Cases, *rows: tuple[str, Callable[[Case], Any]], kind: str = "text") -> list[Line]:
    """Return a line a row: its title, and how its value is had from a case."""
    return [Line(title=t, values=tuple(get(c) for c in cases), kind=kind) for t, get in rows]


def names(cases: Cases) -> list[str]:
    """Return the names of the cases, as titles of columns."""
    return [case.name for case in cases]


def side_by_side(cases: Cases, facts: list[Line]) -> tuple[Table, ...]:
    """Return the facts of one plan; of several what differs, side by side, and what does not."""
    if len(cases) == 1:
        return (compared([""], facts),)
    differ, common = split_common(facts)
    found = [compared(names(cases), differ)] if differ else []
    return (*found, *([compared([""], common, caption="The same for all")] if common else []))

"""Facts of cases as lines of a table, side by side."""

from collections.abc import Callable, Sequence
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


def numbers(found: Sequence[int]) -> str:
    """Return numbers in their order, runs of them shortened.

    >>> numbers((0, 1, 2, 3, 8)), numbers((1,))
    ('0 to 3, 8', '1')
    """
    runs: list[list[int]] = []
    for number in found:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join(" to ".join(map(str, dict.fromkeys(run))) for run in runs)


def told(cases: Cases, get: Callable[[Case], str]) -> str:
    """Return a value of each case: of several with their names, what is the same once."""
    values: dict[str, list[str]] = {}
    for case in cases:
        values.setdefault(get(case), []).append(case.name)
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({', '.join(whose)})" for value, whose in values.items())

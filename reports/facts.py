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

SHORTEST, MOST_RUNS = 4, 8
"""Numbers that are apart are told as a run from so many on, where there are more runs than this."""


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
    """Return numbers in their order, runs of them shortened; of many also runs with a stride.

    >>> numbers((0, 1, 2, 3, 8)), numbers((0, 3, 2, 1, 5, 6, 7, 4))
    ('0 to 3, 8', '0, 3, 2, 1, 5 to 7, 4')
    >>> numbers((0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26))
    '0 to 24 by 8, 1 to 25 by 8, 2 to 26 by 8'
    """
    runs = _runs(found, most_stride=1)
    if len(runs) > MOST_RUNS:
        runs = _runs(found, most_stride=len(found))
    return ", ".join(_run(run) for run in runs)


def _runs(found: Sequence[int], most_stride: int) -> list[list[int]]:
    """Cut numbers into runs of one stride, none of them longer than ``most_stride``."""
    runs: list[list[int]] = []
    for number in found:
        last = runs[-1] if runs else [number]
        stride = number - last[-1]
        if 0 < stride <= most_stride and (len(last) == 1 or stride == last[1] - last[0]):
            last.append(number)
        else:
            runs.append([number])
    return runs


def _run(run: list[int]) -> str:
    """Return a run: in full where it is short and its numbers are apart."""
    stride = run[1] - run[0] if len(run) > 1 else 1
    if len(run) == 1 or (stride > 1 and len(run) < SHORTEST):
        return ", ".join(map(str, run))
    return f"{run[0]} to {run[-1]}" + (f" by {stride}" if stride > 1 else "")


def told(cases: Cases, get: Callable[[Case], str]) -> str:
    """Return a value of each case: of several with their names, what is the same once."""
    values: dict[str, list[str]] = {}
    for case in cases:
        values.setdefault(get(case), []).append(case.name)
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({', '.join(whose)})" for value, whose in values.items())

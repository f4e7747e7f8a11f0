"""Summaries of many assessed rows: how far off, in the right order, and at what regret."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from statistics import mean, median, quantiles
from typing import Any

from planner.published.assess import Assessed

APART = 1.1
"""Two rows of a sweep say which is faster only where they differ by more than 10 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far off many rows are; fractions of 1."""

    rows: float
    covered: float
    coverage: float
    median: float | None
    mean: float | None
    p90: float | None
    bias: float | None
    """Median of the errors with their sign."""
    concordance: float | None
    """Share of the pairs of a sweep, more than 10 % apart, whose order is right."""
    regret: float | None
    """By how much longer a sample takes in the layout that we would pick than in the best one of
    those published for equal devices; mean over such choices."""
    inside: float | None
    """Share of the published times that lie in the 80 % interval."""


def figures(errors: Sequence[float]) -> tuple[float, float, float]:
    """Return median, mean and 90th percentile of the sizes of errors; at least one is needed."""
    off = sorted(map(abs, errors))
    return median(off), mean(off), quantiles(off, n=10)[-1] if len(off) > 1 else off[0]


def summary(rows: Iterable[Assessed]) -> Summary:
    """Summarise rows; those that cannot be expressed count against the coverage."""
    every = list(rows)
    told = [row for row in every if row.covered and row.error is not None]
    errors = [row.error for row in told if row.error is not None]
    inside = [
        row.interval_s[0] <= row.published <= row.interval_s[1]
        for row in told
        if row.interval_s and row.published
    ]
    middle, average, p90 = figures(errors) if errors else (None, None, None)
    return Summary(
        rows=len(every),
        covered=len(told),
        coverage=len(told) / len(every) if every else 0.0,
        median=middle,
        mean=average,
        p90=p90,
        bias=median(errors) if errors else None,
        concordance=_concordance(told),
        regret=_regret(told),
        inside=mean(inside) if inside else None,
    )


def mean_of(summaries: Iterable[Summary]) -> Summary:
    """Return the mean of every figure over summaries; one without a figure does not count for it.

    So each source weighs alike, however many rows it has.
    """
    every = list(summaries)

    def figure(name: str) -> float | None:
        known = [v for s in every if (v := getattr(s, name)) is not None]
        return mean(known) if known else None

    return Summary(**{f.name: figure(f.name) for f in fields(Summary)})  # type: ignore[arg-type]


def _concordance(rows: Iterable[Assessed]) -> float | None:
    right = []
    for sweep in _groups(rows, lambda row: row.sweep).values():
        for a, b in combinations(sweep, 2):
            if a.published and b.published and a.predicted and b.predicted:
                ratio = a.published / b.published
                if max(ratio, 1 / ratio) > APART:
                    right.append((ratio > 1) == (a.predicted > b.predicted))
    return mean(right) if right else None


def _regret(rows: Iterable[Assessed]) -> float | None:
    lost = []
    for choices in _groups(rows, lambda row: (*row.sweep, row.workers)).values():
        known = [
            (row.predicted / row.batch, row.published / row.batch)
            for row in choices
            if row.predicted and row.published and row.batch
        ]
        if len(known) > 1:
            picked = min(known)[1]
            lost.append(picked / min(published for _, published in known) - 1)
    return mean(lost) if lost else None


def _groups(
    rows: Iterable[Assessed], key: Callable[[Assessed], Any]
) -> Mapping[Any, list[Assessed]]:
    groups: dict[Any, list[Assessed]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def summaries(rows: Sequence[Assessed]) -> dict[str, Any]:
    """Return the summary overall, by source and by table, of unflagged rows in scope."""
    counted = [row for row in rows if row.in_scope and not row.flagged]
    by_source = {
        name: summary(found)
        for name, found in sorted(_groups(counted, lambda row: row.source).items())
    }
    return {
        "overall": summary(counted),
        "mean_of_sources": mean_of(by_source.values()),
        "by_source": by_source,
        "by_table": {n: summary(r) for n, r in _groups(counted, lambda row: row.table).items()},
        "flagged": summary(row for row in rows if row.in_scope and row.flagged),
    }

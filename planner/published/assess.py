"""Hold predictions against published runs: one assessment a row, and summaries of many."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import exp
from statistics import mean, median, quantiles
from typing import Any

from hwprofiles.efficiency import Table
from planner.published.cases import MANY, Case, Unsaid, express
from planner.published.predict import predicted_s
from planner.published.rows import Row

APART = 1.1
"""Two rows of a sweep say which is faster only where they differ by more than 10 %."""
SWEEP = ("model", "accelerator", "framework", "precision", "input_size", "input_data")
"""Rows of one source that agree in these are a sweep: only batch and devices differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """One published row, and what was predicted for it without looking."""

    case_id: str
    source: str
    table: str
    predicted: float | None
    """Seconds of what was timed; None where the row cannot be expressed."""
    published: float | None
    error: float | None
    """Predicted over published, less 1."""
    interval_s: tuple[float, float] | None
    """80 % interval of the prediction."""
    grade: str
    layout_stated: bool
    assumed: Mapping[str, Any]
    """What the row left unsaid, by column."""
    covered: bool
    flagged: bool
    in_scope: bool
    reason: str
    """Why it is not covered."""
    sweep: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far off many rows are; fractions of 1."""

    rows: int
    covered: int
    coverage: float
    median: float | None
    mean: float | None
    p90: float | None
    bias: float | None
    """Median of the errors with their sign."""
    concordance: float | None
    """Share of the pairs of a sweep, more than 10 % apart, whose order is right."""
    inside: float | None
    """Share of the published times that lie in the 80 % interval."""


def assess(
    rows: Sequence[Row],
    table: Table | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Assessed]:
    """Predict every row that can be expressed; ``table`` takes the place of shipped constants."""
    found = []
    for done, row in enumerate(rows):
        progress(done, len(rows))
        found.append(_assessed(row, table))
    return found


def _assessed(row: Row, table: Table | None) -> Assessed:
    case: Case | None = None
    predicted = published = None
    reason, scope = "", in_scope(row.told["model"])
    try:
        case = express(row.told)
        published = row.step_s(case.training.batch)
        predicted = predicted_s(case, case.machine(table))
        if published is None:
            reason = "no result is stated"
    except Unsaid as why:
        reason = str(why)
    if not scope:
        reason = "a model out of scope" + (f"; {reason}" if reason else "")
    both = predicted is not None and published is not None
    return Assessed(
        case_id=row.case_id,
        source=row.source,
        table="cnn",
        predicted=predicted,
        published=published,
        error=predicted / published - 1 if predicted and published else None,
        interval_s=_interval(predicted, case) if predicted and case else None,
        grade="fitted" if both else "",
        layout_stated=case is not None,
        assumed=case.assumed if case else {},
        covered=both,
        flagged=row.flagged,
        in_scope=scope,
        reason=reason,
        sweep=(row.source, *(row.told.get(key, "") for key in SWEEP)),
    )


SPREAD, SPREAD_MANY = 0.134, 0.478
"""Deviation of the logarithm of predicted over published time, up to ``MANY`` devices and beyond:
the 80th percentile of its size over 457 rows that the constants are fitted to, and over 50 that
they are not, divided by ``TO_80``."""
TO_80 = 1.2816
"""Deviations within which 80 % of a normal variable lie."""


def _interval(predicted: float, case: Case) -> tuple[float, float]:
    half = TO_80 * (SPREAD if case.plan.workers <= MANY else SPREAD_MANY)
    return predicted * exp(-half), predicted * exp(half)


FAMILIES = (
    "alexnet", "overfeat", "vgg", "googlenet", "inception", "resnet", "resnext", "rn50", "densenet",
    "efficientnet", "mobilenet", "smallnet", "amoebanet", "u-net (", "senet", "squeezenet", "bert",
    "electra",
)  # fmt: skip
OTHERS = ("ssd", "rcnn", "mask", "retina", "efficientdet", "rpn")
"""Detectors are built of the families in scope, and are not."""


def in_scope(model: str) -> bool:
    """Return whether a row is of image classification or of the BERT family."""
    name = model.lower()
    return any(part in name for part in FAMILIES) and not any(part in name for part in OTHERS)


def summary(rows: Iterable[Assessed]) -> Summary:
    """Summarise rows; those that cannot be expressed count against the coverage."""
    every = list(rows)
    told = [row for row in every if row.error is not None]
    errors = [row.error for row in told if row.error is not None]
    off = sorted(map(abs, errors))
    inside = [
        row.interval_s[0] <= row.published <= row.interval_s[1]
        for row in told
        if row.interval_s and row.published
    ]
    return Summary(
        rows=len(every),
        covered=len(told),
        coverage=len(told) / len(every) if every else 0.0,
        median=median(off) if off else None,
        mean=mean(off) if off else None,
        p90=quantiles(off, n=10)[-1] if len(off) > 1 else None,
        bias=median(errors) if errors else None,
        concordance=_concordance(told),
        inside=mean(inside) if inside else None,
    )


def _concordance(rows: Iterable[Assessed]) -> float | None:
    sweeps: dict[tuple[str, ...], list[Assessed]] = defaultdict(list)
    for row in rows:
        sweeps[row.sweep].append(row)
    right = []
    for sweep in sweeps.values():
        for a, b in combinations(sweep, 2):
            if a.published and b.published and a.predicted and b.predicted:
                ratio = a.published / b.published
                if max(ratio, 1 / ratio) > APART:
                    right.append((ratio > 1) == (a.predicted > b.predicted))
    return mean(right) if right else None


def summaries(rows: Sequence[Assessed]) -> dict[str, Any]:
    """Return the summary overall, by source and by table, of unflagged rows in scope."""
    counted = [row for row in rows if row.in_scope and not row.flagged]
    sources: dict[str, list[Assessed]] = defaultdict(list)
    tables: dict[str, list[Assessed]] = defaultdict(list)
    for row in counted:
        sources[row.source].append(row)
        tables[row.table].append(row)
    return {
        "overall": summary(counted),
        "by_source": {name: summary(found) for name, found in sorted(sources.items())},
        "by_table": {name: summary(found) for name, found in sorted(tables.items())},
        "flagged": summary(row for row in rows if row.in_scope and row.flagged),
    }

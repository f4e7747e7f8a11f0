"""Leave each source out, fit the constants to the others, and predict the rows of that source.

So is each generation of devices (:mod:`planner.published.neighbours`).

A fit takes a second; taking the runs apart, those of more than ``MANY`` devices included, a minute
or two, so there is nothing to resume. Exchanges are taken at the constants fitted to all rows
(``features.Bounds``): leaving a source out moves them little.
"""

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import fmean, median

from hwprofiles.efficiency import family_of
from hwprofiles.units import Floats
from planner.published.case import MANY
from planner.published.fit import PRIORS, ROUNDS, Study, samples
from planner.published.neighbours import (
    GenerationLeftOut,
    apart_logs,
    generations_left_out,
    generations_of,
    without_generation,
)
from planner.published.rows import Row
from planner.published.spread import (
    CLASSES,
    EXTRAPOLATED,
    LEAST_ROWS,
    TO_80,
    Spread,
    class_of,
    deviation_of,
    known_as,
)

NAMES = PRIORS.with_name("names.toml")
TO_HALF = 0.6745
"""Deviations within which half of a normal variable lies."""
ANY = 1 << 31
"""More workers than any run has."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A published run, predicted from all rows and from those of other sources."""

    case_id: str
    source: str
    year: str
    generation: str
    software: str
    workers: int
    seen: bool
    """Whether other sources have rows of its software."""
    published_s: float
    fitted_s: float
    """Predicted by constants fitted to all rows."""
    left_out_s: float
    """Predicted by constants fitted to the rows of other sources."""
    apart_s: float
    """Predicted as one of a generation that has no rows, from those of other generations."""
    fitted: bool = True
    """Whether its generation has rows that constants are fitted to."""

    @property
    def family(self) -> str:
        """Software on generation."""
        return family_of(self.software, self.generation)

    @property
    def many(self) -> bool:
        """Whether more devices ran than constants are fitted to."""
        return self.workers > MANY

    @property
    def log(self) -> float:
        """Logarithm of published over predicted time, its source left out."""
        return log(self.published_s / self.left_out_s)

    @property
    def apart_log(self) -> float:
        """The same, its generation left out."""
        return log(self.published_s / self.apart_s)

    @property
    def error(self) -> float:
        """Predicted over published, less 1, its source left out."""
        return self.left_out_s / self.published_s - 1

    @property
    def fitted_error(self) -> float:
        """The same by constants fitted to all rows."""
        return self.fitted_s / self.published_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refits:
    """Runs taken apart, and the constants that each source is predicted by when it is left out."""

    study: Study
    logs: Floats
    """Of the constants fitted to all."""
    without: Mapping[str, Floats]
    """By source."""
    rows: tuple[LeftOut, ...]
    """In the order of the study."""

    @property
    def generations(self) -> tuple[GenerationLeftOut, ...]:
        """How far each generation is off that is predicted by the one it is like."""
        blocks = self.study.known.priors["generations"]
        like = {name: block["like"] for name, block in blocks.items() if "like" in block}
        return generations_left_out(self.rows, like)


def refits(rows: Sequence[Row], progress: Progress = lambda done, total, text: None) -> Refits:
    """Fit to all rows of a table, then to those of all sources but one, for each source."""
    priors = tomllib.loads(PRIORS.read_text(encoding="utf-8"))
    found = samples(rows, most=ANY)
    sources = sorted({sample.row.source for sample in found})
    progress(0, len(sources) + 2, f"taking {len(found)} runs apart")
    study = Study.of(found, priors)
    generations = sorted(set(generations_of(study)))
    total = len(sources) + len(generations) + 2
    few = [i for i, sample in enumerate(found) if sample.case.plan.workers <= MANY]
    logs = study.fitted(few)
    for _ in range(1, ROUNDS):
        progress(1, total, "exchanges anew")
        study.renew(logs)
        logs = study.fitted(few)
    without: dict[str, Floats] = {}
    for number, source in enumerate(sources):
        progress(2 + number, total, source)
        without[source] = study.fitted([i for i in few if found[i].row.source != source])
    apart_s: dict[int, float] = {}
    for number, generation in enumerate(generations):
        progress(2 + len(sources) + number, total, generation)
        apart_s |= without_generation(study, few, generation)
    progress(total, total, "")
    made = _rows(study, few, logs, without, apart_s)
    return Refits(study=study, logs=logs, without=without, rows=made)


def _rows(
    study: Study,
    few: Iterable[int],
    logs: Floats,
    without: Mapping[str, Floats],
    apart_s: Mapping[int, float],
) -> tuple[LeftOut, ...]:
    fitted_s = study.predicted_s(logs)
    left_out_s = {source: study.predicted_s(found) for source, found in without.items()}
    generations = generations_of(study)
    have_rows = {generations[i] for i in few}
    witnesses: dict[str, set[str]] = defaultdict(set)
    for i in few:
        witnesses[study.found[i].case.stack].add(study.found[i].row.source)
    return tuple(
        LeftOut(
            case_id=sample.row.case_id,
            source=sample.row.source,
            year=sample.row.told.get("year", ""),
            generation=generations[i],
            software=sample.case.stack,
            workers=sample.case.plan.workers,
            seen=bool(witnesses[sample.case.stack] - {sample.row.source}),
            published_s=sample.published_s,
            fitted_s=float(fitted_s[i]),
            left_out_s=float(left_out_s[sample.row.source][i]),
            apart_s=apart_s[i],
            fitted=generations[i] in have_rows,
        )
        for i, sample in enumerate(study.found)
    )


def spread_of(
    rows: Iterable[LeftOut], shifted: Mapping[bool, Sequence[Sequence[float]]] | None = None
) -> Spread:
    """Return how far rows lie from what is predicted without their source.

    ``shifted`` has, for each row, the logarithms that are left after a shift by another row of its
    source and family, up to ``MANY`` devices (False) and beyond (True).
    """
    every = list(rows)
    logs: dict[str, list[Sequence[float]]] = {name: [] for name in CLASSES}
    groups: dict[tuple[str, str], list[LeftOut]] = defaultdict(list)
    for row in every:
        if row.fitted:
            logs[class_of(seen=row.seen, many=row.many)].append([row.log])
        groups[row.source, row.family].append(row)
    for many in (False, True):
        found = apart_logs(row for row in every if row.many == many)
        logs[class_of(seen=False, many=many, fitted=False)] += found.values()
    for many, left in (shifted or {}).items():
        logs[class_of(seen=True, many=many, shifted=True)] += [x for x in left if x]
    told: dict[str, list[list[float]]] = {known_as(seen=s): [] for s in (True, False)}
    for group in groups.values():
        told[known_as(seen=group[0].seen)].append([row.log for row in group])
    whole = [group for some in told.values() for group in some]
    told[EXTRAPOLATED] = [[row.apart_log for row in group] for group in groups.values()]
    parts = {
        known: between_and_within(some if len(some) >= LEAST_ROWS else whole)
        for known, some in told.items()
    }
    interval = {name: _of_class(name, logs) for name in CLASSES}
    for many in (False, True):  # who gives a run knows no less than before
        shift, seen = (class_of(seen=True, many=many, shifted=given) for given in (True, False))
        interval[shift] = min(interval[shift], interval[seen])
    return Spread(
        interval=interval,
        between={known: part[0] for known, part in parts.items()},
        within={known: part[1] for known, part in parts.items()},
    )


def between_and_within(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the deviations of groups of logarithms about 0, and of members about their group.

    A group lies where its median does, and half of the groups lie within ``TO_HALF`` deviations: a
    library that is ten times as slow says nothing of the others. Of members it is the root mean
    square, for one of them shifts all, and may be a wild one.

    >>> between_and_within([[0.2, 0.4], [-0.2, -0.4]])  # doctest: +ELLIPSIS
    (0.4447..., 0.1414...)
    """
    middles = [median(group) for group in groups]
    pairs = list(zip(groups, middles, strict=True))
    squares = sum((x - middle) ** 2 for group, middle in pairs for x in group)
    free = sum(len(group) - 1 for group in groups)
    between = median(map(abs, middles)) / TO_HALF
    return between, (squares / free) ** 0.5 if free else between


def _of_class(name: str, logs: Mapping[str, Sequence[Sequence[float]]]) -> float:
    """Return the deviation of a class, or of the widest that resembles it if it has few rows."""
    own, others = logs[name], [found for found in logs.values() if len(found) >= LEAST_ROWS]
    if len(own) >= LEAST_ROWS or not others:
        return deviation_of(own or [x for found in logs.values() for x in found])
    kin = [logs[n] for n in (name.removesuffix("-many"), "seen-many") if len(logs[n]) >= LEAST_ROWS]
    return max(map(deviation_of, [*(kin or others), *([own] if own else [])]))


def held_frac(rows: Iterable[LeftOut]) -> tuple[float, float]:
    """Return the share of left-out rows that 80 % intervals hold.

    First of intervals set from all left-out rows, then of those set from other sources only.
    """
    every = list(rows)
    spreads = {s: spread_of(r for r in every if r.source != s) for s in {r.source for r in every}}
    whole = spread_of(every)

    def holds(row: LeftOut, spread: Spread) -> bool:
        kind = class_of(seen=row.seen, many=row.many, fitted=row.fitted)
        reach = TO_80 * spread.interval[kind]
        return abs(row.log) <= reach

    return (
        fmean(holds(row, whole) for row in every),
        fmean(holds(row, spreads[row.source]) for row in every),
    )


def sha256_of(*paths: Path) -> str:
    """Return the hash of files, in their order."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()

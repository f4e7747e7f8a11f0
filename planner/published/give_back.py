"""How much one row of a source tells of its others: leave a source out, give one row of it back.

Every row of a source with at most ``CHOICES``, else that many drawn by a seed, shifts its own
family (:mod:`planner.published.shift`); what the shift does not know is the rest of the source.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from statistics import fmean, median

import numpy as np

from hwprofiles.units import Floats
from planner.published.leave_out import LeftOut, Refits, spread_of
from planner.published.shift import shift_of
from planner.published.spread import Spread

CHOICES = 20
SEED = 8
FEW_MANY = (False, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """Errors of the rows of a source, one of which is given back; fractions of 1.

    An error of a row is the mean of its size over the choices of another; of the source the median.
    """

    source: str
    rows: int
    choices: int
    before: float
    after: float
    family_before: float | None
    """Of those rows only that are of the family of the one given back."""
    family_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The whole table."""

    sources: tuple[GivenBack, ...]
    overall: GivenBack
    """Over the rows of all sources."""
    left: Mapping[bool, Sequence[Sequence[float]]]
    """By row, where its software is known from other sources: logarithms that are left after shifts
    by others of its family; of rows up to ``MANY`` devices and beyond."""


@dataclass(slots=True)
class _Tally:
    """Sizes of errors by row, before and after, of all its pairs and of those in one family."""

    before: dict[int, list[float]]
    after: dict[int, list[float]]

    @classmethod
    def empty(cls) -> "_Tally":
        return cls({}, {})

    def add(self, row: int, before: float, after: float) -> None:
        self.before.setdefault(row, []).append(abs(before))
        self.after.setdefault(row, []).append(abs(after))

    def medians(self, rows: Iterable[int]) -> tuple[float, float] | None:
        known = [row for row in rows if row in self.before]
        if not known:
            return None
        return (
            median(fmean(self.before[row]) for row in known),
            median(fmean(self.after[row]) for row in known),
        )


def experiment(found: Refits) -> Experiment:
    """Give one row of each source back, one choice after the other."""
    whole, kin = _Tally.empty(), _Tally.empty()
    left: dict[int, list[float]] = defaultdict(list)
    sources = []
    generator = np.random.default_rng(SEED)
    for source, logs in found.without.items():
        own = [i for i, row in enumerate(found.rows) if row.source == source]
        if len(own) < 2:
            continue
        spread = spread_of(row for row in found.rows if row.source != source)
        alone_s = found.study.ops.alone_s(logs)[0]
        chosen = own if len(own) <= CHOICES else generator.choice(own, CHOICES, replace=False)
        for given in sorted(map(int, chosen)):
            after_s = _after_s(found, alone_s, given, spread)
            for i in own:
                if i == given:
                    continue
                row = found.rows[i]
                after = float(after_s[i]) / row.published_s - 1
                whole.add(i, row.error, after)
                if row.family == found.rows[given].family:
                    kin.add(i, row.error, after)
                    if row.seen:
                        left[i].append(-float(np.log1p(after)))
        sources.append(_given_back(source, own, len(chosen), whole, kin))
    every = range(len(found.rows))
    overall = _given_back("all", every, sum(s.choices for s in sources), whole, kin)
    parted = {many: [x for i, x in left.items() if found.rows[i].many == many] for many in FEW_MANY}
    return Experiment(sources=tuple(sources), overall=overall, left=parted)


def _after_s(found: Refits, alone_s: Floats, given: int, spread: Spread) -> Floats:
    """Return what is predicted for every run when the row ``given`` shifts its family, seconds."""
    row: LeftOut = found.rows[given]
    shift = shift_of(row.family, [row.log], spread, seen=row.seen)
    of_family = np.array([other.family == row.family for other in found.rows])
    slower = np.where(of_family, exp(shift.log), 1.0)
    return found.study.bounds.step_s(alone_s * slower)[0]


def _given_back(
    source: str, rows: Sequence[int], choices: int, whole: _Tally, kin: _Tally
) -> GivenBack:
    before, after = whole.medians(rows) or (0.0, 0.0)
    related = kin.medians(rows)
    return GivenBack(
        source=source,
        rows=len([row for row in rows if row in whole.before]),
        choices=choices,
        before=before,
        after=after,
        family_before=related[0] if related else None,
        family_after=related[1] if related else None,
    )

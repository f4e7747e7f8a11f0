"""How far predictions of published runs lie from what was measured: known from runs left out.

``spread.toml``, written by ``make published`` beside the constants, says it by what is known
beforehand: whether rows of the same software, and of the same generation of devices, are among
those that the constants are fitted to, whether more than ``MANY`` devices run, and whether the
prediction was shifted by a run of one's own. A *deviation* is that of the logarithm of published
over predicted time: the 80th percentile of its size, divided by ``TO_80``, so that a few wild rows
do not set it.
"""

import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import exp
from pathlib import Path

FILE = Path(__file__).with_name("spread.toml")
TO_80 = 1.2816
"""Deviations within which 80 % of a normal variable lie."""
NEAR = 1e-9
"""Sums of weights that are apart by less are equal."""
LEAST_ROWS = 8
"""Fewer rows, or groups, say nothing of their own about a spread; those of all are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Deviations of logarithms."""

    interval: Mapping[str, float]
    """By class (:func:`class_of`): what the 80 % interval is made of."""
    between: Mapping[str, float]
    """Of the middles of sources from our predictions, by :func:`known_as`."""
    within: Mapping[str, float]
    """Of the rows of one source and family about their middle."""

    def interval_s(self, predicted_s: float, kind: str) -> tuple[float, float]:
        """Return the 80 % interval of a predicted time."""
        reach = exp(TO_80 * self.interval[kind])
        return predicted_s / reach, predicted_s * reach


EXTRAPOLATED = "extrapolated"
"""Of devices whose generation has no row."""


def known_as(*, seen: bool, fitted: bool = True) -> str:
    """Return how a family is known: software, and generation of devices, with rows or without."""
    return EXTRAPOLATED if not fitted else "seen" if seen else "unseen"


def class_of(*, seen: bool, many: bool, shifted: bool = False, fitted: bool = True) -> str:
    """Return the class of a prediction, by what is known beforehand."""
    known = "shifted" if shifted else known_as(seen=seen, fitted=fitted)
    return known + ("-many" if many else "")


CLASSES = tuple(
    class_of(seen=seen, many=many, shifted=shifted, fitted=fitted)
    for seen, shifted, fitted in (
        (True, False, True),
        (False, False, True),
        (True, True, True),
        (False, False, False),
    )
    for many in (False, True)
)


def deviation(logs: Iterable[float]) -> float:
    """Return the deviation of logarithms about 0; at least one is needed.

    >>> round(deviation([0.1, -0.2, 0.3, -0.4, 5.0]), 4)
    0.3121
    """
    return deviation_of([[x] for x in logs])


def deviation_of(groups: Iterable[Sequence[float]]) -> float:
    """Return the same of groups that count alike, however many logarithms they have."""
    every = sorted((abs(x), 1 / len(group)) for group in groups for x in group)
    inside = list(accumulate(weight for _, weight in every))
    return every[bisect_left(inside, 0.8 * inside[-1] - NEAR)][0] / TO_80


@cache
def shipped() -> Spread:
    """Return the spread of the shipped constants."""
    return Spread(**tomllib.loads(FILE.read_text(encoding="utf-8")))


def written(spread: Spread) -> str:
    """Return the text of ``spread.toml``."""
    lines = ["# Written by `make published`; see spread.py."]
    for name in ("interval", "between", "within"):
        lines += ["", f"[{name}]"]
        lines += [f'"{key}" = {value:.3g}' for key, value in getattr(spread, name).items()]
    return "\n".join(lines) + "\n"

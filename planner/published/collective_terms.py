"""The ways of published collectives as arrays, with the constants that they need: what is fitted.

Times are those of ``Way.time_s``, for all samples at once and with derivatives.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from hwprofiles.transport import Constants, flat
from hwprofiles.units import Floats, Ints
from planner.transport_law import Way

PRIORS = Path(__file__).with_name("collective_priors.toml")
NONE = -1
"""Index of the constant 1."""


@cache
def priors() -> Mapping[str, Any]:
    """Return the content of the file of priors."""
    return tomllib.loads(PRIORS.read_text(encoding="utf-8"))


@dataclass(slots=True)
class Known:
    """Constants by name that rows need: where each begins, and how far it may go."""

    names: list[str] = field(default_factory=list)
    prior: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)
    free: list[bool] = field(default_factory=list)
    """Which of them are fitted."""

    def place(self, name: str) -> int:
        """Return the place of a constant; a new one begins at its prior.

        A constant that is another one has the place, and the prior, of that.
        """
        name = priors()["shared"].get(name, name)
        if name not in self.names:
            self.names.append(name)
            self.prior.append(log(prior_constants()[name]))
            self.width.append(priors()["width"][_kind(name)])
            self.free.append(not is_fixed(name))
        return self.names.index(name)


@cache
def prior_constants() -> Constants:
    """Return all constants at their priors."""
    return flat({name: block["constants"] for name, block in priors()["stacks"].items()})


def is_fixed(name: str) -> bool:
    """Say whether a constant keeps its prior."""
    stack, _, constant = name.partition(".")
    return constant in priors()["fixed"].get(stack, ())


def _kind(name: str) -> str:
    constant = name.partition(".")[2]
    if constant.startswith("ll") and constant.endswith("share"):
        return "low_share"
    kinds = ("launch", "hop", "share", "ramp")
    return next((kind for kind in kinds if constant.endswith(kind)), "hop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Every way of every sample as arrays: W ways, L latencies, G legs."""

    starts: Ints
    """(samples,) where the ways of each begin."""
    latency: tuple[Ints, Ints, Floats]
    """(L,) way, constant, count."""
    legs: tuple[Ints, Floats, Ints, Ints]
    """(G,) way, seconds at the wire, first share, second share or NONE; by way."""
    first_leg: Ints
    """(W,) where the legs of each way begin."""
    ramp: Ints
    """(W,) constant under the root, or NONE."""

    def times_s(self, logs: Floats) -> tuple[Floats, Floats]:
        """Return the time of every sample and its derivatives by the logarithms of the constants.

        Shapes (samples,) and (samples, constants).
        """
        values = np.append(np.exp(logs), 1.0)  # the last is NONE
        width, count = len(values), len(self.ramp)
        way, constant, factor = self.latency
        slopes: Floats = np.zeros((count, width))
        paid_s = values[constant] * factor
        latency_s = np.bincount(way, weights=paid_s, minlength=count)
        np.add.at(slopes, (way, constant % width), paid_s)
        leg_way, wire_s, one, two = self.legs
        leg_s = wire_s / values[one] / values[two]
        moved_s = np.maximum.reduceat(leg_s, self.first_leg)
        slowest = _first_of(leg_s == moved_s[leg_way], self.first_leg)
        root_s = np.where(self.ramp == NONE, 0.0, np.sqrt(values[self.ramp] * moved_s))
        every = np.arange(count)
        for share in (one[slowest], two[slowest]):
            np.add.at(slopes, (every, share % width), -(moved_s + root_s))
        np.add.at(slopes, (every, self.ramp % width), root_s)
        total_s = latency_s + moved_s + 2 * root_s
        best_s = np.minimum.reduceat(total_s, self.starts)
        sizes = np.diff(np.append(self.starts, count))
        chosen = _first_of(total_s == np.repeat(best_s, sizes), self.starts)
        return best_s, slopes[chosen, :-1]


def _first_of(marked: Floats, starts: Ints) -> Ints:
    """Return the first marked place at or after each start."""
    places = np.flatnonzero(marked)
    found: Ints = places[np.searchsorted(places, starts)]
    return found


def terms_of(by_sample: Sequence[Sequence[Way]], known: Known) -> Terms:
    """Return the ways of all samples; constants that they need are added to ``known``."""
    every: list[Way] = [way for own in by_sample for way in own]
    latency = [
        (number, known.place(name), count)
        for number, way in enumerate(every)
        for name, count in way.latencies
    ]
    legs = [
        (number, leg.wire_s, *[known.place(name) for name in leg.shares], NONE, NONE)[:4]
        for number, way in enumerate(every)
        for leg in way.legs
    ]
    first_leg = accumulate((len(way.legs) for way in every[:-1]), initial=0)
    starts = accumulate((len(own) for own in by_sample[:-1]), initial=0)
    l_way, l_constant, l_count = (np.array(column) for column in zip(*latency, strict=True))
    g_way, g_wire_s, g_one, g_two = (np.array(column) for column in zip(*legs, strict=True))
    return Terms(
        starts=np.fromiter(starts, dtype=np.int64),
        latency=(l_way, l_constant, l_count.astype(np.float64)),
        legs=(g_way, g_wire_s, g_one, g_two),
        first_leg=np.fromiter(first_leg, dtype=np.int64),
        ramp=np.array([known.place(way.ramp) if way.ramp else NONE for way in every]),
    )

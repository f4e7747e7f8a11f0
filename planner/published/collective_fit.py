"""Fit the transport stacks to published collectives: ``python -m ...collective_fit TABLE.csv``.

Residuals are logarithms of predicted over published time under a soft absolute loss; every constant
is drawn to its prior. A row weighs by one over the square root of the rows of its source. Which way
of a collective is cheapest changes as constants move, so the fit starts from several places around
the priors and keeps the best. The shipped table of isolated nodes is part of every fit.
"""

import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from hwprofiles import transport
from hwprofiles.transport import FRACTIONS, Constants, flat
from hwprofiles.units import US, Floats, Ints
from planner.published.cases import Unsaid
from planner.published.collective_cases import CollectiveCase, express
from planner.published.collective_rows import SMALL, CollectiveRow, read_collectives
from planner.transport_groups import SMALL_BYTES, interval_kind
from planner.transport_law import Way

PRIORS = Path(__file__).with_name("collective_priors.toml")
TARGET = Path(transport.__file__).parent / "data" / transport.DATA
RESIDUAL = 0.07
"""Scale of a residual: 7 %."""
PULL = 2.0
"""Weight of a constant's distance from its prior, in widths."""
NONE = -1
"""Index of the constant 1."""
FAR = 4.0
"""Widths beyond which no constant goes."""
EDGE = 1e-9
"""How far inside its bounds a constant starts."""
TRIES, FROM, SEED = 8, 0.5, 1
"""Fits, each from constants drawn that many widths from their priors; the first from the priors."""
HELD = 0.8
"""Share of rows that an interval is to hold."""
LEFT_OUT_TRIES = 3
"""The same, of a fit without one source."""
SMALL_WEIGHT = 0.75
"""What a row below ``SMALL_BYTES`` weighs, beside a larger one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveSample:
    """A published call that constants are fitted to."""

    row: CollectiveRow
    case: CollectiveCase
    published_s: float


def shipped_samples() -> list[CollectiveSample]:
    """Return those of the shipped table."""
    return samples(read_collectives(SMALL))


def samples(rows: Iterable[CollectiveRow]) -> list[CollectiveSample]:
    """Return the calls that can be expressed, state a result and are not flagged."""
    found = []
    for row in rows:
        if row.flagged or row.time_s is None:
            continue
        try:
            case = express(row.told)
        except Unsaid:
            continue
        if not case.assumed:
            found.append(CollectiveSample(row=row, case=case, published_s=row.time_s))
    return found


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
            self.prior.append(log(_prior()[name]))
            self.width.append(priors()["width"][_kind(name)])
            self.free.append(not _is_fixed(name))
        return self.names.index(name)


@cache
def _prior() -> Constants:
    return flat({name: block["constants"] for name, block in priors()["stacks"].items()})


def _is_fixed(name: str) -> bool:
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


def terms_of(found: Sequence[CollectiveSample], known: Known) -> Terms:
    """Return the ways of all samples; constants that they need are added to ``known``."""
    by_sample = [sample.case.ways() for sample in found]
    every: list[Way] = [way for own in by_sample for way in own]
    latency = [
        (number, known.place(name), count)
        for number, way in enumerate(every)
        for name, count in way.latencies
    ]
    legs = [
        (number, leg.wire_s, *[known.place(name) for name in leg.shares], NONE)[:4]
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


def fitted(found: Sequence[CollectiveSample], tries: int = TRIES) -> tuple[Known, Floats]:
    """Return the constants that the samples need, and their logarithms that fit best."""
    known = Known()
    terms = terms_of(found, known)
    prior, width, free = np.array(known.prior), np.array(known.width), np.array(known.free)
    published = np.log([sample.published_s for sample in found])
    weight = _weights(found)

    def every(some: Floats) -> Floats:
        logs = prior.copy()
        logs[free] = some
        return logs

    def residuals(some: Floats) -> Floats:
        error = np.log(terms.times_s(every(some))[0]) - published
        pull = PULL * (some - prior[free]) / width[free]
        return np.concatenate([weight * error / RESIDUAL, pull])

    def slopes(some: Floats) -> Floats:
        time_s, by_constant = terms.times_s(every(some))
        of_rows = by_constant[:, free] / time_s[:, None] * (weight / RESIDUAL)[:, None]
        return np.concatenate([of_rows, np.diag(PULL / width[free])])

    fractions = np.array([name.endswith(FRACTIONS) for name in known.names])[free]
    low, high = prior[free] - FAR * width[free], prior[free] + FAR * width[free]
    high = np.where(fractions, np.minimum(high, 0.0), high)
    rng, ends = np.random.default_rng(SEED), []
    for number in range(tries):
        step = FROM * rng.normal(size=len(low)) * np.where(fractions, 0.3, 1.0) * bool(number)
        start = np.clip(prior[free] + step * width[free], low + EDGE, high - EDGE)
        ends.append(least_squares(residuals, start, jac=slopes, bounds=(low, high), loss="soft_l1"))
    logs: Floats = every(min(ends, key=lambda one: float(one.cost)).x)
    return known, logs


def _weights(found: Sequence[CollectiveSample]) -> Floats:
    """Return the weight of each sample; the mean of their squares is 1."""
    names = [sample.row.source for sample in found]
    of_source = {name: names.count(name) ** -0.25 for name in set(names)}
    small = [sample.case.payload_bytes < SMALL_BYTES for sample in found]
    raw = np.array(
        [
            of_source[name] * (SMALL_WEIGHT if is_small else 1.0)
            for name, is_small in zip(names, small, strict=True)
        ]
    )
    weights: Floats = raw / np.sqrt(np.mean(raw**2))
    return weights


def constants_of(known: Known, logs: Floats) -> Constants:
    """Return all constants: fitted ones, and priors where no row needs one."""
    value = dict(zip(known.names, np.exp(logs).tolist(), strict=True))
    shared = priors()["shared"]
    return {name: value.get(shared.get(name, name), prior) for name, prior in _prior().items()}


def content(found: Sequence[CollectiveSample]) -> dict[str, Any]:
    """Fit, and return the tables of the file, each stack with the rows that it rests on."""
    known, logs = fitted(found)
    constants = constants_of(known, logs)
    blocks = {}
    for name, block in priors()["stacks"].items():
        own = [s for s in found if name in s.case.stacks or name == transport.SHARED]
        sources = len({sample.row.source for sample in own})
        told = {key: value for key, value in block.items() if key != "constants"}
        shown = {key: _shown(f"{name}.{key}", constants) for key in block["constants"]}
        fitted_names = [
            key
            for key in block["constants"]
            if own and f"{name}.{key}" in known.names and not _is_fixed(f"{name}.{key}")
        ]
        blocks[name] = {
            **told,
            "constants": shown,
            "fitted": fitted_names,
            "rows": len(own),
            "sources": sources,
        }
    return {"stacks": blocks}


def _shown(name: str, constants: Constants) -> float:
    value = constants[name]
    return float(f"{value if name.endswith(FRACTIONS) else value / US:.3g}")


def written(tables: Mapping[str, Any]) -> str:
    """Return the text of ``transports.toml``."""
    lines = [
        "# Written by `python -m planner.published.collective_fit`; see collective_priors.toml",
        "# beside it. Latencies and ramps are microseconds, the rest shares of the wire.",
        "# Constants that are not in `fitted` are assumed.",
    ]

    def put(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{ " + ", ".join(f"{key} = {put(v)}" for key, v in value.items()) + " }"
        return f"{value:g}" if isinstance(value, float) else json.dumps(value)

    for kind, blocks in tables.items():
        for name, block in blocks.items():
            lines += ["", f"[{kind}.{name}]"]
            lines += [f"{key} = {put(value)}" for key, value in block.items()]
    return "\n".join(lines) + "\n"


def spreads(found: Sequence[CollectiveSample]) -> dict[str, Any]:
    """Return the width of the 80 % interval by what is known of a stack.

    As the half width of the logarithm, from rows of sources that were left out of a fit.
    """
    errors: dict[str, list[float]] = {}
    for sample, constants, seen in left_out(found):
        error = log(sample.case.predicted_s(constants) / sample.published_s)
        errors.setdefault(
            interval_kind(sample.case.group, sample.case.payload_bytes, seen), []
        ).append(abs(error))
    return {
        **{k: float(f"{np.quantile(errors[k], HELD):.2g}") for k in sorted(errors)},
        "source": f"{sum(map(len, errors.values()))} rows left out with their sources",
    }


def left_out(
    found: Sequence[CollectiveSample],
    progress: Callable[[int, int, str], None] = lambda done, total, source: None,
) -> Iterator[tuple[CollectiveSample, Constants, frozenset[str]]]:
    """Yield every sample with constants that its source had no part in, and the stacks they saw."""
    sources = sorted({sample.row.source for sample in found})
    for done, source in enumerate(sources):
        progress(done, len(sources), source)
        rest = [sample for sample in found if sample.row.source != source]
        constants = constants_of(*fitted(rest, LEFT_OUT_TRIES))
        seen = frozenset(stack for sample in rest for stack in sample.case.stacks)
        yield from ((s, constants, seen) for s in found if s.row.source == source)


def main(arguments: Sequence[str]) -> None:
    """Fit to tables of published rows and write the constants."""
    if not arguments:
        raise SystemExit("expected the path of a table of published collectives")
    rows = [row for path in arguments for row in read_collectives(Path(path))]
    found = [*samples(rows), *shipped_samples()]
    tables = {**content(found), "spread": {"interval_80": spreads(found)}}
    TARGET.write_text(written(tables), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

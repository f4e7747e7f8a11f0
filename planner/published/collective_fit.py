"""Fit the transport stacks to published collectives: ``python -m ...collective_fit TABLE.csv``.

Residuals are logarithms of predicted over published time under a soft absolute loss; every constant
is drawn to its prior. A row weighs by one over the square root of the rows of its source. Which way
of a collective is cheapest changes as constants move, so the fit starts from several places around
the priors and keeps the best. The shipped table of isolated nodes is part of every fit.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from hwprofiles import transport
from hwprofiles.transport import FRACTIONS, Constants
from hwprofiles.units import US, Floats
from planner.published.collective_cases import CollectiveCase, express
from planner.published.collective_rows import SMALL, CollectiveRow, read_collectives
from planner.published.collective_terms import (
    Known,
    is_fixed,
    prior_constants,
    priors,
    terms_of,
)
from planner.published.names import Unsaid
from planner.published.toml_text import toml_text
from planner.transport_groups import SMALL_BYTES, interval_kind

TARGET = Path(transport.__file__).parent / "data" / transport.DATA
HEAD = (
    "Written by `python -m planner.published.collective_fit`; see collective_priors.toml",
    "beside it. Latencies and ramps are microseconds, the rest shares of the wire.",
    "Constants that are not in `fitted` are assumed.",
)
RESIDUAL = 0.07
"""Scale of a residual: 7 %."""
PULL = 2.0
"""Weight of a constant's distance from its prior, in widths."""
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
UNSEEN = "unseen"
"""How kinds of intervals end that are for stacks no row went through."""
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


def fitted(found: Sequence[CollectiveSample], tries: int = TRIES) -> tuple[Known, Floats]:
    """Return the constants that the samples need, and their logarithms that fit best."""
    known = Known()
    terms = terms_of([sample.case.ways() for sample in found], known)
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
    return {
        name: value.get(shared.get(name, name), prior) for name, prior in prior_constants().items()
    }


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
            if own and f"{name}.{key}" in known.names and not is_fixed(f"{name}.{key}")
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
    return toml_text(HEAD, tables)


def spreads(
    found: Sequence[CollectiveSample], beside: Sequence[CollectiveSample]
) -> dict[str, Any]:
    """Return the width of the 80 % interval by what is known of a stack.

    As the half width of the logarithm, from rows of sources that were left out of a fit; those
    ``beside`` are fitted to and not counted. For a stack that no row went through, from rows of
    stacks that were left out, each stack weighing alike; no less than over a network, nor than
    for rows whose stack left with their source.
    """
    errors: dict[str, list[float]] = {}
    counted = {sample.row.source for sample in found}
    for sample, constants, seen in left_out([*found, *beside]):
        kind = interval_kind(sample.case.group, sample.case.payload_bytes, seen)
        if sample.row.source in counted:
            errors.setdefault(kind, []).append(_off(sample, constants))
    width = {kind: float(np.quantile(some, HELD)) for kind, some in errors.items()}
    unseen: dict[str, list[tuple[float, float]]] = {}
    for some, constants in stacks_left_out([*found, *beside]):
        for sample in some:
            size = "small" if sample.case.payload_bytes < SMALL_BYTES else "large"
            unseen.setdefault(size, []).append((_off(sample, constants), 1 / len(some)))
    for size, rows in unseen.items():
        off, weight = np.array(rows).T
        held = float(np.quantile(off, HELD, weights=weight, method="inverted_cdf"))
        kind = f"{size}_{UNSEEN}"
        width[kind] = max(held, width[f"{size}_beyond"], width.get(kind, 0.0))
    return {
        **{kind: float(f"{width[kind]:.2g}") for kind in sorted(width)},
        "source": f"{sum(map(len, errors.values()))} rows left out with their sources,"
        f" {sum(map(len, unseen.values()))} with a stack",
    }


def _off(sample: CollectiveSample, constants: Constants) -> float:
    return abs(log(sample.case.predicted_s(constants) / sample.published_s))


def stacks_left_out(
    found: Sequence[CollectiveSample],
) -> Iterator[tuple[list[CollectiveSample], Constants]]:
    """Yield the rows of every stack, with constants that none of them had a part in."""
    for stack in sorted({stack for sample in found for stack in sample.case.stacks}):
        rest = [sample for sample in found if stack not in sample.case.stacks]
        constants = constants_of(*fitted(rest, LEFT_OUT_TRIES))
        yield [sample for sample in found if stack in sample.case.stacks], constants


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
    found, shipped = samples(rows), shipped_samples()
    tables = {
        **content([*found, *shipped]),
        "spread": {"interval_80": spreads(found, shipped)},
    }
    TARGET.write_text(written(tables), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

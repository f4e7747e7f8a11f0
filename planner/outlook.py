"""What rows are expected to take, told by those that were simulated.

A row exceeds its bound by about as much as rows that are like it did. The logarithm of what it
takes over its bound is a Gaussian process over the axes of the space: nothing at first, and two
rows are as alike as the product of ``LIKENESS`` over the axes in which they differ (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, chapter 2). How far it may be off tells
what simulating a row may gain over the best one so far: the expected improvement (Jones, Schonlau
and Welch, Efficient global optimization of expensive black-box functions, 1998).
"""

from dataclasses import dataclass, field
from math import erf, pi, sqrt

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.space import Space

LIKENESS = {
    "workers": 0.8,
    "microbatch": 0.9,
    "placement": 0.4,
    "algorithm": 0.3,
    "bucket_bytes": 0.9,
    "overlap": 0.9,
    "input_slots": 0.98,
    "activation_slots": 0.98,
    "landing_slots": 0.95,
}
"""By axis: how much of it stays alike where rows differ there."""

SPREAD = 0.3
"""How much logarithms are spread, before any is known; it counts as one of them."""
NOISE = 1e-4
"""Share of the spread that rows of one kind may differ by, which keeps equations solvable."""
DIGITS = 9
"""So exact is what follows from a solution, which other libraries round elsewhere."""


@dataclass(slots=True, kw_only=True)
class Outlook:
    """The rows that were simulated, and what they say of the others."""

    space: Space
    traits: list[Ints] = field(default_factory=list)
    logs: list[float] = field(default_factory=list)
    """By row simulated: the logarithm of its time over its bound."""

    def note(self, row: int, log: float) -> None:
        """Note what a row exceeded its bound by."""
        self.traits.append(self._traits(np.array([row]))[0])
        self.logs.append(log)

    def logs_of(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return what rows are expected to exceed their bounds by, and how far that may be off."""
        if not self.logs:
            return np.zeros(len(rows)), np.full(len(rows), SPREAD)
        known, logs = np.array(self.traits), np.array(self.logs)
        alike = _alike(known, known) + NOISE * np.eye(len(known))
        near = _alike(self._traits(rows), known)
        # one solution for all: of the logarithms, and of each row's likeness to those known
        solved = np.linalg.solve(alike, np.column_stack([logs, near.T]))
        expected: Floats = (near * solved[:, 0]).sum(axis=1)
        spread = sqrt((SPREAD**2 + float(logs @ solved[:, 0])) / (1 + len(logs)))
        unknown = np.maximum(1 - np.sum(near * solved[:, 1:].T, axis=1), NOISE)
        return np.maximum(expected, 0).round(DIGITS), (spread * np.sqrt(unknown)).round(DIGITS)

    def _traits(self, rows: Ints) -> Ints:
        return self.space.traits(rows, tuple(LIKENESS))


def gains(expected: Floats, off: Floats, room: Floats) -> Floats:
    """Return how much less than the best each row is expected to take, in logarithms.

    ``expected`` and ``off`` are what :meth:`Outlook.logs_of` returns, ``room`` is the logarithm of
    the best over each row's bound: there is no more to gain.
    """
    short = room - expected
    z = short / off
    below = np.array([(1 + erf(x / sqrt(2))) / 2 for x in z.tolist()])
    density = np.exp(-z * z / 2) / sqrt(2 * pi)
    found: Floats = np.clip(short * below + off * density, 0, np.maximum(room, 0))
    return found.round(DIGITS)


def _alike(some: Ints, others: Ints) -> Floats:
    """Return how alike rows are, by their traits."""
    logs = np.log(np.array(list(LIKENESS.values())))
    found: Floats = np.exp((some[:, None, :] != others[None, :, :]) @ logs)
    return found

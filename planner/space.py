"""The space of plans: a product of named axes for each number of workers, rows by number.

A row is a number. Its stripe (a number of workers) is a product of axes, the last one running
fastest, so a row is also one index per axis. A ``Plan`` is made only of a row that is shown or
simulated. To add a choice: a field of ``Plan`` and its values in ``Choices``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, product
from typing import Any

import numpy as np

from hwprofiles.units import KIB, MIB, Ints
from planner.algorithms import algorithm, algorithm_names, fits
from planner.landings import distinct_names
from planner.model import ModelGraph
from planner.moves import moves_of
from planner.opcall import DTYPE_BYTES
from planner.placements import packed
from planner.plan import Plan, Training, buckets

SLOTS = ("input_slots", "activation_slots", "landing_slots")
Placements = Callable[[int], Sequence[tuple[int, ...]]]
"""By number of workers: the placements to try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Values of the axes that neither model nor cluster determines."""

    bucket_bytes: tuple[int, ...] = (64 * KIB, 256 * KIB, 4 * MIB, 25 * MIB)
    """Tried beside one bucket for all gradients; 25 MiB is the default of PyTorch's DDP."""
    overlap: tuple[bool, ...] = (False, True)
    input_slots: tuple[int, ...] = (1, 2)
    activation_slots: tuple[int, ...] = (1,)
    landing_slots: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What the user asks of a plan's fields, and of its memory and time."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Values of plan fields."""
    most: Mapping[str, float] = field(default_factory=dict)
    """Largest values of plan fields; ``memory_bytes`` of the fullest worker, ``step_s``."""

    def allow(self, name: str, value: object) -> bool:
        """Whether an axis may take this value."""
        if name in self.fixed and self.fixed[name] != value:
            return False
        return name not in self.most or not isinstance(value, int) or value <= self.most[name]


@dataclass(frozen=True, kw_only=True)
class Stripe:
    """All plans of one number of workers: a product of axes, the last running fastest."""

    workers: int
    axes: Mapping[str, tuple[Any, ...]]
    """Values by field of ``Plan``, in the order of the product."""

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def rows(self) -> int:
        """Number of plans."""
        return math.prod(self.shape)

    def indices(self, rows: Ints) -> dict[str, Ints]:
        """Return the place on every axis of each of ``rows``, counted within this stripe."""
        return dict(zip(self.axes, np.unravel_index(rows, self.shape), strict=True))

    def plan(self, row: int) -> Plan:
        """Return one plan."""
        at = np.unravel_index(row, self.shape)
        values = {name: self.axes[name][int(i)] for name, i in zip(self.axes, at, strict=True)}
        return Plan(workers=self.workers, **values)


@dataclass(frozen=True, kw_only=True)
class Space:
    """Stripes by number of workers, rows numbered through."""

    stripes: tuple[Stripe, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First row of each stripe, and the number of rows."""
        return tuple(accumulate((stripe.rows for stripe in self.stripes), initial=0))

    @property
    def rows(self) -> int:
        """Number of plans."""
        return self.starts[-1]

    def plan(self, row: int) -> Plan:
        """Return one plan."""
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.stripes[at].plan(row - self.starts[at])

    def plans(self) -> Iterator[Plan]:
        """Yield every plan, in the order of rows; for small spaces."""
        for stripe in self.stripes:
            for values in product(*stripe.axes.values()):
                named = dict(zip(stripe.axes, values, strict=True))
                yield Plan(workers=stripe.workers, **named)

    def row(self, plan: Plan) -> int | None:
        """Return the number of ``plan``; None where it is not in the space."""
        for stripe, start in zip(self.stripes, self.starts, strict=False):
            try:
                at = [axis.index(getattr(plan, name)) for name, axis in stripe.axes.items()]
            except ValueError:
                continue
            row = int(np.ravel_multi_index(at, stripe.shape))
            if stripe.plan(row) == plan:
                return start + row
        return None

    def first_alike(self, rows: Ints, names: Sequence[str]) -> Ints:
        """Return, for each of ``rows``, the first that differs from it in axes ``names`` alone."""
        found = np.zeros_like(rows)
        of_stripe = np.searchsorted(self.starts, rows, side="right") - 1
        for i in np.unique(of_stripe).tolist():
            stripe, chosen = self.stripes[i], np.flatnonzero(of_stripe == i)
            at = stripe.indices(rows[chosen] - self.starts[i])
            first = tuple(np.zeros_like(n) if name in names else n for name, n in at.items())
            found[chosen] = self.starts[i] + np.ravel_multi_index(first, stripe.shape)
        return found

    def traits(self, rows: Ints, names: Sequence[str]) -> Ints:
        """Return a number for what each of ``rows`` has on each axis: equal ones have the same.

        The axis ``workers`` is the stripe's; placements are alike that stand at the same place of
        their axis, whatever the number of workers.
        """
        found = np.zeros((len(rows), len(names)), dtype=np.int64)
        of_stripe = np.searchsorted(self.starts, rows, side="right") - 1
        for i in np.unique(of_stripe).tolist():
            stripe, chosen = self.stripes[i], np.flatnonzero(of_stripe == i)
            at = stripe.indices(rows[chosen] - self.starts[i])
            for j, name in enumerate(names):
                if name == "workers":
                    found[chosen, j] = stripe.workers
                elif name == "placement":
                    found[chosen, j] = at[name]
                else:
                    numbers = self._numbers.setdefault(name, {})
                    of_axis = [numbers.setdefault(v, len(numbers)) for v in stripe.axes[name]]
                    found[chosen, j] = np.array(of_axis)[at[name]]
        return found

    @cached_property
    def _numbers(self) -> dict[str, dict[Any, int]]:
        """By axis: a number for each value that somebody asked for."""
        return {}

    def around(self, rows: Ints) -> tuple["Space", Ints]:
        """Return the least space of whole products that holds ``rows``, and their numbers in it."""
        stripes, first = [], 0
        places = np.zeros(len(rows), dtype=np.int64)
        of_stripe = np.searchsorted(self.starts, rows, side="right") - 1
        for i in np.unique(of_stripe).tolist():
            stripe, chosen = self.stripes[i], np.flatnonzero(of_stripe == i)
            used = {
                name: np.unique(at, return_inverse=True)
                for name, at in stripe.indices(rows[chosen] - self.starts[i]).items()
            }
            axes = {n: tuple(stripe.axes[n][j] for j in kept) for n, (kept, _) in used.items()}
            least = Stripe(workers=stripe.workers, axes=axes)
            where = [place for _, place in used.values()]
            places[chosen] = first + np.ravel_multi_index(where, least.shape)
            stripes.append(least)
            first += least.rows
        return Space(stripes=tuple(stripes)), places

    def cardinalities(self) -> dict[str, int]:
        """Return how many values each axis takes, over all stripes."""
        values: dict[str, set[Any]] = {"workers": {stripe.workers for stripe in self.stripes}}
        for stripe in self.stripes:
            for name, some in stripe.axes.items():
                values.setdefault(name, set()).update(some)
        return {name: len(some) for name, some in values.items()}


def divisors(number: int) -> list[int]:
    """Return the divisors of ``number``, ascending."""
    low = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*low, *(number // d for d in low)})


def distinct_sizes(
    model: ModelGraph, training: Training, sizes: Sequence[int], whole: int
) -> list[int]:
    """Return the bucket sizes that cut the gradient differently; of equals the smallest.

    ``whole`` stands for one bucket.
    """
    item = DTYPE_BYTES[training.dtype]
    cuts: dict[tuple[int, ...], int] = {}
    for size in sorted(sizes):
        cut = buckets(model, max(1, size // item))
        cuts.setdefault(tuple(bucket.end for bucket in cut), size)
    cuts[model.parameter_count,] = whole
    return sorted(cuts.values())


ALL_PAIRS_UP_TO = 64
"""Ranks up to which algorithms are tried in which every rank sends to every other, unless one is
asked for: their routes alone take longer to find than all else of a search."""
FEW_RANKS = 8
"""Ranks on which an algorithm shows who sends to whom."""


def _algorithms(workers: int, asked: object, shaped: Sequence[str], *, every: bool) -> list[str]:
    """Return the algorithms to try: that which is asked for, or those that differ.

    ``shaped`` are those with numbers that the fabric calls for; with ``every`` all others are
    tried, and without it those that differ on so many workers.
    """
    if workers == 1:
        return ["none"]
    if isinstance(asked, str):
        return [asked] if asked == "none" or fits(asked, workers) else []
    if every:
        return [*algorithm_names(), *shaped]
    if workers <= ALL_PAIRS_UP_TO:
        return [*distinct_names(workers), *shaped]
    return [*(name for name in algorithm_names() if not _joins_all_pairs(name)), *shaped]


def _joins_all_pairs(name: str) -> bool:
    """Whether in an algorithm every rank sends to every other; seen on few of them."""
    return len(moves_of(algorithm(name).emit, FEW_RANKS).by_pair.keys) == FEW_RANKS * (
        FEW_RANKS - 1
    )


def _slots(name: str, choices: Choices, constraints: Constraints) -> Sequence[int]:
    """Return the numbers of slots to try, or the one that is asked for."""
    asked = constraints.fixed.get(name)
    values: Sequence[int] = getattr(choices, name)
    return [asked] if isinstance(asked, int) else values


def plan_space(  # noqa: PLR0913, the question, and who answers parts of it
    model: ModelGraph,
    training: Training,
    devices: int,
    *,
    placements: Placements = lambda workers: [packed(workers)],
    shaped: Callable[[int], Sequence[str]] = lambda workers: (),
    named: Callable[[int], str] | None = None,
    choices: Choices | None = None,
    constraints: Constraints | None = None,
) -> Space:
    """Return every plan on up to ``devices`` devices that the constraints allow.

    Of algorithms that are the same on so many workers one is tried, and of bucket sizes that cut
    the gradient alike, unless one is asked for. ``shaped`` gives, by number of workers, the
    algorithms with numbers to try; ``named`` the one that takes the place of all.
    """
    choices, constraints = choices or Choices(), constraints or Constraints()
    whole = model.parameter_count * DTYPE_BYTES[training.dtype]
    asked = constraints.fixed.get("bucket_bytes")
    sizes = [s for s in choices.bucket_bytes if s < whole]
    sizes = distinct_sizes(model, training, sizes, whole)
    if isinstance(asked, int):
        sizes = [asked]
    stripes = []
    for workers in range(1, devices + 1):
        if not constraints.allow("workers", workers):
            continue
        alone = workers == 1
        # where no batch divides nobody looks at an algorithm twice
        every_name = training.batch % workers > 0
        asked_for = constraints.fixed.get("algorithm")
        if named and not every_name:
            asked_for = named(workers)
        axes: dict[str, Sequence[Any]] = {
            "microbatch": divisors(training.batch),
            "placement": placements(workers),
            "algorithm": _algorithms(workers, asked_for, shaped(workers), every=every_name),
            "bucket_bytes": [whole] if alone else sizes,
            "overlap": choices.overlap,
            **{name: _slots(name, choices, constraints) for name in SLOTS},
        }
        if alone:
            axes |= {"overlap": (False,), "landing_slots": (1,)}
        kept = {
            name: tuple(value for value in values if constraints.allow(name, value))
            for name, values in axes.items()
        }
        stripe = Stripe(workers=workers, axes=kept)
        if stripe.rows:
            stripes.append(stripe)
    return Space(stripes=tuple(stripes))

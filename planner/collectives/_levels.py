"""Rings within rings: ranks as places in a torus, or in nodes, and what a ring of one level does.

A rank is a number of several digits, one a level, the innermost first. Blocks are numbered by the
same digits, the innermost first too, so that what a rank holds after the rings of some levels is a
run of blocks. Clocks of closed forms are arrays by rank, picoseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import isqrt, prod

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Prices, chunk_edges


def near_square(ranks: int) -> tuple[int, int]:
    """Return two factors of a number, the smaller first, as near to each other as can be.

    >>> near_square(12), near_square(7)
    ((3, 4), (1, 7))
    """
    small = next(d for d in range(isqrt(ranks), 0, -1) if ranks % d == 0)
    return small, ranks // small


@dataclass(frozen=True, slots=True)
class Levels:
    """How many places each level has, the innermost first."""

    sizes: tuple[int, ...]

    @classmethod
    def of(cls, name: str, sizes: tuple[int, ...], ranks: int) -> "Levels":
        """Return the levels of so many ranks.

        Raises
        ------
        PlanError
            When the places are not as many.
        """
        if prod(sizes) != ranks:
            told = "x".join(map(str, sizes))
            raise PlanError(
                f"algorithm {name!r}: expected numbers whose product is {ranks} ranks, got {told};"
                " give others, or none"
            )
        return cls(sizes)

    @property
    def blocks(self) -> int:
        """Number of blocks of the array."""
        return prod(self.sizes)

    def digit(self, rank: int, level: int) -> int:
        """Return the place of a rank in its ring of a level."""
        return rank // prod(self.sizes[:level]) % self.sizes[level]

    def after(self, rank: int, level: int) -> int:
        """Return the rank after this one in its ring of a level."""
        stride, size = prod(self.sizes[:level]), self.sizes[level]
        place = rank // stride % size
        return rank + ((place + 1) % size - place) * stride

    def held(self, rank: int, level: int, place: int) -> tuple[int, int]:
        """Return the blocks of ``place`` in the ring of a level, of those the rank then works on.

        >>> [Levels((2, 3)).held(rank, 0, 1) for rank in (0, 5)], Levels((2, 3)).held(5, 1, 0)
        ([(3, 6), (3, 6)], (3, 4))
        """
        first = 0
        for inner in range(level):
            first = first * self.sizes[inner] + self.digit(rank, inner)
        width = prod(self.sizes[level + 1 :])
        begin = (first * self.sizes[level] + place) * width
        return begin, begin + width

    def symmetry(self) -> Symmetry:
        """Round the ring of every level."""
        return Symmetry(
            sizes=self.sizes, blocks=tuple((size, level) for level, size in enumerate(self.sizes))
        )

    # What a ring of one level does

    def reduce(self, copies: Copies, level: int) -> None:
        """Add up, round the rings of a level, what each rank is to hold after it."""
        size = self.sizes[level]
        for step in range(size - 1):
            for rank in copies.each(copies.ranks):
                place = (self.digit(rank, level) - 1 - step) % size
                copies.reduce(rank, self.after(rank, level), *self.held(rank, level, place))

    def gather(self, copies: Copies, level: int) -> None:
        """Hand on, round the rings of a level, what each rank holds before it."""
        size = self.sizes[level]
        for step in range(size - 1):
            for rank in copies.each(copies.ranks):
                place = (self.digit(rank, level) - step) % size
                copies.move(rank, self.after(rank, level), *self.held(rank, level, place))

    # How long it takes

    def reduced_ps(self, prices: Prices, elements: int, level: int, ready: Ints) -> Ints:
        """When each rank has its sums of a level; ``ready`` when it has its own part, (ranks,)."""
        ring = _Ring.of(self, prices, elements, level)
        came = ready
        for step in range(self.sizes[level] - 1):
            width = ring.widths(-1 - step)[ring.before]
            arrived = came[ring.before] + ring.transfers_ps(width)
            came = np.maximum(arrived, ready) + ring.adds_ps(width)
        return came

    def gathered_ps(self, prices: Prices, elements: int, level: int, ready: Ints) -> Ints:
        """When each rank has all parts of a level; ``ready`` when it has its own, (ranks,)."""
        ring = _Ring.of(self, prices, elements, level)
        came = done = ready
        for step in range(self.sizes[level] - 1):
            width = ring.widths(-step)[ring.before]
            came = came[ring.before] + ring.transfers_ps(width)
            done = np.maximum(done, came)
        return done


@dataclass(frozen=True, slots=True, eq=False)
class _Ring:
    """The rings of a level: who hears whom, and what that costs, by rank."""

    before: Ints
    places: Ints
    edges: Ints
    """Elements at which the parts of each rank begin and end, (ranks, places + 1)."""
    transfer_ps: Callable[[int], Ints]
    """By width: from the rank before."""
    add_ps: Callable[[int], Ints]

    @classmethod
    def of(cls, levels: Levels, prices: Prices, elements: int, level: int) -> "_Ring":
        n, size = prices.ranks, levels.sizes[level]
        before, places, first, width = _seats(levels, level, n)
        ranks, blocks = np.arange(n), chunk_edges(elements, levels.blocks)
        return cls(
            before=before,
            places=places,
            edges=blocks[first + width * np.arange(size + 1)],
            transfer_ps=cache(lambda w: prices.transfers_ps(before, ranks, np.full(n, w))),
            add_ps=cache(lambda w: prices.every_add_ps(ranks, np.full(n, w))),
        )

    def widths(self, ahead: int) -> Ints:
        """Return how wide the part so many places ahead of each rank's own is."""
        at, rows = (self.places + ahead) % (self.edges.shape[1] - 1), np.arange(len(self.places))
        return np.asarray(self.edges[rows, at + 1] - self.edges[rows, at], dtype=np.int64)

    def transfers_ps(self, widths: Ints) -> Ints:
        """Return the time in which each rank gets so much from the one before."""
        return of_width(widths, self.transfer_ps)

    def adds_ps(self, widths: Ints) -> Ints:
        """Return the time in which each rank adds so much."""
        return of_width(widths, self.add_ps)


@lru_cache(maxsize=64)
def _seats(levels: Levels, level: int, n: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return of ``n`` ranks, the one before each, its place, its first block, blocks of a place.

    The last two are columns.
    """
    before = np.empty(n, dtype=np.int64)
    before[[levels.after(rank, level) for rank in range(n)]] = np.arange(n)
    places = np.array([levels.digit(rank, level) for rank in range(n)])
    starts = np.array([levels.held(rank, level, 0) for rank in range(n)])
    return before, places, starts[:, :1], (starts[:, 1] - starts[:, 0])[:, None]


def of_width(widths: Ints, price_ps: Callable[[int], Ints]) -> Ints:
    """Return prices of widths, each place by the price of its own width there."""
    low, high = int(widths.min()), int(widths.max())
    found = price_ps(low)
    if low < high:  # equal parts of an array have two widths
        for width in (high,) if high - low == 1 else np.unique(widths)[1:].tolist():
            found = np.where(widths == width, price_ps(width), found)
    return found

"""Torus all-reduce: reduce-scatter round the rings of each dimension in turn, then all gathered.

The rings of later dimensions carry only what those before have left to each rank, so most bytes
stay in the first one: 2 (n - 1) / n of the array leave a rank, in 2 sum (d - 1) steps. Source: the
bucket algorithms of Jain and Sabharwal, IEEE Trans. Parallel Distrib. Syst. 21 (2010), section 4.

ASSUMES: one dimension at a time, for a rank sends one message at a time.
"""

from collections.abc import Sequence

import numpy as np

from planner.collectives._copies import Copies
from planner.collectives._levels import Levels, near_square
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

OPERATION = "all_reduce"
NUMBERS = "the dimensions, such as 4x4x8, the one in which ranks are neighbours first,"


def levels(ranks: int, sizes: tuple[int, ...]) -> Levels:
    """Return the dimensions; without any, two that are near to each other."""
    return Levels.of("torus", sizes or near_square(ranks), ranks)


def steps(ranks: int, *sizes: int) -> int:
    """Longest chain of transfers: 2 (d - 1) for every dimension."""
    return 2 * sum(size - 1 for size in levels(ranks, sizes).sizes)


def emit(exchange: Exchange, ready: Sequence[Tasks], *sizes: int) -> list[Tasks]:
    """Append 2 n sum (d - 1) transfers and half as many additions."""
    torus = levels(exchange.ranks, sizes)
    copies = Copies(exchange, ready, torus.blocks)
    dimensions = range(len(torus.sizes))
    for dimension in dimensions:
        torus.reduce(copies, dimension)
    for dimension in reversed(dimensions):
        torus.gather(copies, dimension)
    return copies.done()


def symmetry(ranks: int, *sizes: int) -> Symmetry:
    """Round every dimension."""
    return levels(ranks, sizes).symmetry()


def cost_ps(elements: int, prices: Prices, *sizes: int) -> int:
    """Time of one uncontended run: the slowest way through all dimensions, or the busiest lane."""
    torus = levels(prices.ranks, sizes)
    now = np.zeros(prices.ranks, dtype=np.int64)
    dimensions = range(len(torus.sizes))
    for dimension in dimensions:
        now = torus.reduced_ps(prices, elements, dimension, now)
    for dimension in reversed(dimensions):
        now = torus.gathered_ps(prices, elements, dimension, now)
    return max(int(now.max()), busiest_ps(emit, elements, prices, *sizes))

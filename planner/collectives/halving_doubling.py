"""Recursive halving and doubling: partners swap halves of what they hold, then give them back.

With p ranks, p a power of two, every rank sends 2 (p - 1) / p of the array in 2 log2 p steps: the
bytes of a ring in the steps of a tree. Ranks beyond p first add their array to that of a partner
(fold in) and get the sum from it at the end (fold out).

Source: Thakur, Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19 (2005), section 4.5
(Rabenseifner's algorithm).
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_edges

OPERATION = "all_reduce"
_Rank = TypeVar("_Rank", int, Ints)


def core(ranks: int) -> int:
    """Return the largest power of two that is no larger."""
    return 1 << (ranks.bit_length() - 1)


def steps(ranks: int) -> int:
    """Longest chain of transfers: 2 floor(log2 n), and 2 to fold where n is no power of two."""
    p = core(ranks)
    return 2 * (p.bit_length() - 1) + 2 * (p < ranks)


def distances(ranks: int) -> list[int]:
    """Distance of the partners in each halving step: p / 2, p / 4, ... 1."""
    p = core(ranks)
    return [p >> k for k in range(1, p.bit_length())]


def held(rank: _Rank, distance: int, ranks: int) -> tuple[_Rank, _Rank]:
    """First and end of the p blocks that ``rank`` keeps after the halving step at ``distance``.

    Rank 0 keeps the last blocks, which are the widest: its landing register is the widest too.

    >>> [held(rank, 2, 4) for rank in range(4)], [held(rank, 1, 4) for rank in range(4)]
    ([(2, 4), (2, 4), (0, 2), (0, 2)], [(3, 4), (2, 3), (1, 2), (0, 1)])
    """
    first = (core(ranks) - 1 - rank) // distance * distance
    return first, first + distance


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 p log2 p transfers and p log2 p additions; 2 and 1 more for every rank beyond p."""
    n, p = exchange.ranks, core(exchange.ranks)
    copies = Copies(exchange, ready, p)
    for rank in range(p, n):
        copies.reduce(rank, rank - p, 0, p)
    for distance in distances(n):
        for rank in copies.each(p):
            copies.reduce(rank, rank ^ distance, *held(rank ^ distance, distance, n))
    for distance in reversed(distances(n)):
        for rank in copies.each(p):
            copies.move(rank ^ distance, rank, *held(rank ^ distance, distance, n))
    for rank in range(p, n):
        copies.move(rank - p, rank, 0, p)
    return copies.done()


def symmetry(ranks: int) -> Symmetry:
    """Flip the bits of a rank, and of what it holds.

    Raises
    ------
    PlanError
        When some ranks are folded in and out, so that not all do alike.
    """
    if core(ranks) != ranks:
        raise PlanError(f"halving and doubling: expected a power of two of ranks, got {ranks}")
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0),), flips=(True,))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: step by step, when each rank has its part, or a busy lane."""
    n, p = prices.ranks, core(prices.ranks)
    edges = chunk_edges(elements, p)
    ranks = np.arange(p)
    folds, whole = np.arange(n - p), np.full(n - p, elements)
    now = np.zeros(p, dtype=np.int64)
    now[folds] = prices.transfers_ps(folds + p, folds, whole) + prices.every_add_ps(folds, whole)
    for d in distances(n):
        first, end = held(ranks, d, n)
        width = edges[end] - edges[first]
        came = now[ranks ^ d] + prices.transfers_ps(ranks ^ d, ranks, width)
        now = np.maximum(now, came) + prices.every_add_ps(ranks, width)
    for d in reversed(distances(n)):
        first, end = held(ranks ^ d, d, n)
        width = edges[end] - edges[first]
        now = np.maximum(now, now[ranks ^ d] + prices.transfers_ps(ranks ^ d, ranks, width))
    out = now[folds] + prices.transfers_ps(folds, folds + p, whole)
    return max(int(now.max()), int(out.max(initial=0)), busiest_ps(emit, elements, prices))

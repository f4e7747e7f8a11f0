"""All-to-all in as few messages as can be: a block goes on by each binary digit of its way.

A block for the rank that is ``way`` ahead goes by 1 where the last digit of ``way`` is set, then by
2, by 4, ...: at each step a rank sends one message of about half of what it holds. That is
ceil(log2 n) messages instead of n - 1, and log2 n / 2 times the bytes: for small arrays. The array
is the matrix of ``all_to_all``; blocks on their way lie at their own place of it. Source: Bruck et
al., IEEE Trans. Parallel Distrib. Syst. 8 (1997), section 2.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._lanes import Busy, block_widths, watched
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks
from planner.collectives.bruck_all_gather import distances

OPERATION = "all_to_all"


def steps(ranks: int) -> int:
    """Longest chain of transfers: log2 of the ranks, rounded up."""
    return len(distances(ranks))


def busbw_factor(ranks: int) -> float:
    """What a rank sends of its row: every block once for each digit of its way.

    >>> busbw_factor(4), busbw_factor(8)
    (1.0, 1.5)
    """
    return sum(way.bit_count() for way in range(ranks)) / ranks


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n transfers a step."""
    n = exchange.ranks
    copies = Copies(exchange, ready, n * n)
    for distance in distances(n):
        for src in copies.each(n):
            blocks = _sent(np.array([src]), n, distance)[:, 0]
            copies.carry(src, (src + distance) % n, sorted(blocks.tolist()))
    return copies.done()


def _sent(by: Ints, ranks: int, distance: int) -> Ints:
    """Return the blocks that each of ``by`` sends in the step of a distance, (blocks, by)."""
    ways = np.arange(ranks)[:, None]
    ways = ways[ways & distance > 0][:, None]
    source = (by - ways % distance) % ranks  # as far as the digits before have brought it
    return source * ranks + (source + ways) % ranks


@lru_cache(maxsize=64)
def _sent_by_first(ranks: int, distance: int) -> tuple[Ints, Ints]:
    """Return the same for the ranks that are looked at, and for those that send to them."""
    own = watched(ranks)
    return _sent(own, ranks, distance), _sent((own - distance) % ranks, ranks, distance)


def symmetry(ranks: int) -> Symmetry:
    """Round the ranks; rows and columns move with them."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0), (ranks, 0)))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: a lane has one message a step."""
    n, own = prices.ranks, watched(prices.ranks)
    distance = np.array(distances(n))[:, None]
    sent = [_sent_by_first(n, d) for d in distances(n)]
    out, into = (
        np.array([block_widths(elements, n * n, blocks[way]).sum(axis=0) for blocks in sent])
        for way in (0, 1)
    )
    busy = Busy.of(prices, (own + distance) % n, out, (own - distance) % n, into)
    return busy.longest_ps(prices)

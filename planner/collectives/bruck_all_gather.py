"""All-gather in as few messages as can be: every step doubles what a rank has.

At distance d = 1, 2, 4, ... a rank hands what it has to the one d before it: its own chunk and
those of the ranks after it, at most two spans of the array. ceil(log2 n) steps of (n - 1) / n of
the array in all, for any number of ranks, against n - 1 steps of a ring. Source: Bruck et al., IEEE
Trans. Parallel Distrib. Syst. 8 (1997), section 3; theirs rotates the array in the end, here chunks
lie where they belong.
"""

from collections.abc import Sequence

import numpy as np

from planner.collectives._copies import Copies
from planner.collectives._lanes import Busy, block_widths, watched
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "all_gather"


def distances(ranks: int) -> list[int]:
    """Return how far each step goes.

    >>> distances(6)
    [1, 2, 4]
    """
    return [1 << step for step in range((ranks - 1).bit_length())]


def steps(ranks: int) -> int:
    """Longest chain of transfers: log2 of the ranks, rounded up."""
    return len(distances(ranks))


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n transfers a step; chunk ``r`` comes from rank ``r``."""
    n = exchange.ranks
    copies = Copies(exchange, ready, n)
    for distance in distances(n):
        for src in copies.each(n):
            chunks = sorted((src + i) % n for i in range(min(distance, n - distance)))
            copies.carry(src, (src - distance) % n, chunks)
    return copies.done()


def symmetry(ranks: int) -> Symmetry:
    """Round the ranks, a chunk with its rank."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0),))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: a lane has one message a step."""
    n, own = prices.ranks, watched(prices.ranks)
    distance = np.array(distances(n))[:, None]
    to, sender = (own - distance) % n, (own + distance) % n

    def handed(by: np.ndarray) -> np.ndarray:
        """Return how much each of ``by`` hands on in each step."""
        rows = [
            block_widths(elements, n, (ranks + np.arange(min(d, n - d))[:, None]) % n).sum(axis=0)
            for ranks, d in zip(by, distances(n), strict=True)
        ]
        return np.array(rows, dtype=np.int64)

    busy = Busy.of(prices, to, handed(np.broadcast_to(own, to.shape)), sender, handed(sender))
    return busy.longest_ps(prices)

"""All-to-all by direct exchange: at distance 1, 2, ... every rank sends one block and gets one.

The array is a matrix of n x n blocks, block (i, j) being what rank i has for rank j. A rank begins
with its row and ends with its column: nothing is overwritten, so no transfer waits for another.

Source: Thakur, Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19 (2005), section 4.2
(the pairwise algorithm, for any number of ranks).
"""

from collections.abc import Sequence

import numpy as np

from planner.collectives._copies import Copies
from planner.collectives._lanes import Busy, block_widths, watched
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "all_to_all"


def steps(ranks: int) -> int:
    """Longest chain of transfers: n - 1, one after another on a lane."""
    return ranks - 1


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n (n - 1) transfers."""
    n = exchange.ranks
    copies = Copies(exchange, ready, n * n)
    for distance in range(1, n):
        for src in copies.each(n):
            dst = (src + distance) % n
            copies.move(src, dst, src * n + dst)
    return copies.done()


def symmetry(ranks: int) -> Symmetry:
    """Every rank sends to those after it in turn; rows and columns move with the ranks."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0), (ranks, 0)))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the busiest lane."""
    n, own = prices.ranks, watched(prices.ranks)
    distance = np.arange(1, n)[:, None]
    to, sender = (own + distance) % n, (own - distance) % n
    busy = Busy.of(
        prices,
        to,
        block_widths(elements, n * n, own * n + to),
        sender,
        block_widths(elements, n * n, sender * n + own),
    )
    return busy.longest_ps(prices)

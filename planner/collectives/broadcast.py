"""Broadcast down a binomial tree: every rank that has the array hands it on, so holders double.

Source: Thakur, Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19 (2005), section 3.
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives._trees import binomial, spread_ps
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "broadcast"


def steps(ranks: int) -> int:
    """Longest chain of transfers: ceil(log2 n)."""
    return (ranks - 1).bit_length()


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n - 1 transfers."""
    copies = Copies(exchange, ready)
    for parent, child in binomial(exchange.ranks).edges():
        copies.move(parent, child, 0)
    return copies.done()


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: ceil(log2 n) transfers where all take the same time."""
    return spread_ps(binomial(prices.ranks), prices, [elements] * prices.ranks)

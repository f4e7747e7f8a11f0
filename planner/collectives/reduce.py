"""Reduce up a binomial tree: every rank adds what its children send, then sends the sum on.

Source: Thakur, Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19 (2005), section 3.
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives._trees import binomial, reduced_ps
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "reduce"


def steps(ranks: int) -> int:
    """Longest chain of transfers: ceil(log2 n)."""
    return (ranks - 1).bit_length()


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n - 1 transfers and as many additions; a rank's own copy becomes a partial sum."""
    copies = Copies(exchange, ready)
    for parent, child in reversed(binomial(exchange.ranks).edges()):
        copies.reduce(child, parent, 0)
    return copies.done()


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: ceil(log2 n) transfers and additions for a power of two."""
    return reduced_ps(binomial(prices.ranks), prices, elements)

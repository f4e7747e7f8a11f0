"""Binomial tree all-reduce: a reduce up the tree, then a broadcast down it.

The whole array moves 2 ceil(log2 n) times, so it wins where latency rules. Source: Thakur,
Rabenseifner and Gropp, Int. J. High Perform. Comput. Appl. 19 (2005), section 4.5.
"""

from collections.abc import Sequence

from planner.collectives import broadcast, reduce
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "all_reduce"


def steps(ranks: int) -> int:
    """Longest chain of transfers: 2 ceil(log2 n)."""
    return reduce.steps(ranks) + broadcast.steps(ranks)


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 (n - 1) transfers and n - 1 additions."""
    return broadcast.emit(exchange, reduce.emit(exchange, ready))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the broadcast begins when the root has the sum."""
    return reduce.cost_ps(elements, prices) + broadcast.cost_ps(elements, prices)

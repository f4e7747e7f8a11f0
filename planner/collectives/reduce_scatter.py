"""Reduce-scatter round a ring: a chunk passes every rank, and each adds its own to it.

Bandwidth-optimal: every rank sends (n - 1) / n of the array. Source: Patarasuk and Yuan, J.
Parallel Distrib. Comput. 69 (2009), section 4.
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_spans

OPERATION = "reduce_scatter"


def steps(ranks: int) -> int:
    """Longest chain of transfers: n - 1."""
    return ranks - 1


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n (n - 1) transfers and additions; chunk ``r`` is whole at rank ``r``."""
    copies = Copies(exchange, ready, exchange.ranks)
    reduce_round(copies, first=1)
    return copies.done()


def reduce_round(copies: Copies, first: int) -> None:
    """Send chunk ``c`` from rank ``c + first`` to the rank before it, the long way."""
    n = copies.ranks
    for step in range(n - 1):
        for chunk in range(n):
            src = (chunk + first + step) % n
            copies.reduce(src, (src + 1) % n, chunk)


def way_ps(prices: Prices, first: int, elements: int) -> int:
    """Time in which ``elements`` go round from rank ``first`` to the rank before it."""
    n, way = prices.ranks, 0
    for step in range(n - 1):
        src, dst = (first + step) % n, (first + step + 1) % n
        way += prices.transfer_ps(src, dst, elements) + prices.add_ps(dst, elements)
    return way


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    ways = [
        way_ps(prices, chunk + 1, end - begin)
        for chunk, (begin, end) in enumerate(chunk_spans(elements, prices.ranks))
    ]
    return max(*ways, busiest_ps(emit, elements, prices))

"""All-gather round a ring: every rank's chunk is handed on until all have it.

Bandwidth-optimal: every rank sends (n - 1) / n of the array. Source: Patarasuk and Yuan, J.
Parallel Distrib. Comput. 69 (2009), section 4.
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_spans

OPERATION = "all_gather"


def steps(ranks: int) -> int:
    """Longest chain of transfers: n - 1."""
    return ranks - 1


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n (n - 1) transfers; chunk ``r`` comes from rank ``r``."""
    copies = Copies(exchange, ready, exchange.ranks)
    gather_round(copies, first=0)
    return copies.done()


def gather_round(copies: Copies, first: int) -> None:
    """Send chunk ``c`` from rank ``c + first`` to the rank before it, the long way."""
    n = copies.ranks
    for step in range(n - 1):
        for chunk in range(n):
            src = (chunk + first + step) % n
            copies.move(src, (src + 1) % n, chunk)


def way_ps(prices: Prices, first: int, elements: int) -> int:
    """Time in which ``elements`` go round from rank ``first`` to the rank before it."""
    n = prices.ranks
    hops = [((first + step) % n, (first + step + 1) % n) for step in range(n - 1)]
    return sum(prices.transfer_ps(src, dst, elements) for src, dst in hops)


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    ways = [
        way_ps(prices, chunk, end - begin)
        for chunk, (begin, end) in enumerate(chunk_spans(elements, prices.ranks))
    ]
    return max(*ways, busiest_ps(emit, elements, prices))

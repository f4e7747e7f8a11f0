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


def ways_ps(prices: Prices, elements: int) -> list[int]:
    """Time in which ``elements`` go round from each rank to the rank before it."""
    n = prices.ranks
    hops = [prices.transfer_ps(rank, (rank + 1) % n, elements) for rank in range(n)]
    return [sum(hops) - hops[first - 1] for first in range(n)]


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    widths = [end - begin for begin, end in chunk_spans(elements, prices.ranks)]
    ways = {width: ways_ps(prices, width) for width in set(widths)}
    slowest = max(ways[width][chunk] for chunk, width in enumerate(widths))
    return max(slowest, busiest_ps(emit, elements, prices))

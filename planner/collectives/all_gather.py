"""All-gather round a ring: every rank's chunk is handed on until all have it.

Bandwidth-optimal: every rank sends (n - 1) / n of the array. Source: Patarasuk and Yuan, J.
Parallel Distrib. Comput. 69 (2009), section 4.
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

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
        for chunk in copies.each(n):
            src = (chunk + first + step) % n
            copies.move(src, (src + 1) % n, chunk)


def ways_ps(prices: Prices, first: int, elements: int) -> list[int]:
    """By chunk: time in which it goes from rank ``chunk + first`` to the rank before it.

    That is the whole ring but the hop that would bring it back.
    """
    chunks = prices.chunks(elements)
    hops = {width: prices.hops_ps(width) for width in {width for _, width in chunks}}
    whole = {width: sum(row) for width, row in hops.items()}
    back = [(chunk + first - 1) % prices.ranks for chunk, _ in chunks]
    return [whole[w] - hops[w][rank] for (_, w), rank in zip(chunks, back, strict=True)]


def lanes_ps(prices: Prices, elements: int, rounds: int = 1) -> int:
    """Work of the busiest lane that receives in so many rounds, with chunks as the narrowest."""
    return rounds * (prices.ranks - 1) * max(prices.hops_ps(elements // prices.ranks))


def symmetry(ranks: int) -> Symmetry:
    """Round the ring, a chunk with its rank."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0),))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    lanes = lanes_ps(prices, elements)
    return max(*ways_ps(prices, 0, elements), lanes, busiest_ps(emit, elements, prices))

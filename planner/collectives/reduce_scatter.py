"""Reduce-scatter round a ring: a chunk passes every rank, and each adds its own to it.

Bandwidth-optimal: every rank sends (n - 1) / n of the array. Source: Patarasuk and Yuan, J.
Parallel Distrib. Comput. 69 (2009), section 4.
"""

from collections.abc import Sequence

from planner.collectives import all_gather
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

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
        for chunk in copies.each(n):
            src = (chunk + first + step) % n
            copies.reduce(src, (src + 1) % n, chunk)


def ways_ps(prices: Prices, first: int, elements: int) -> list[int]:
    """By chunk: time from rank ``chunk + first`` to the rank before it, added on the way.

    All ranks add to it but the one that it starts from.
    """
    chunks = prices.chunks(elements)
    adds = {width: prices.adds_ps(width) for width in {width for _, width in chunks}}
    whole = {width: sum(row) for width, row in adds.items()}
    starts = [(chunk + first) % prices.ranks for chunk, _ in chunks]
    added = [whole[w] - adds[w][rank] for (_, w), rank in zip(chunks, starts, strict=True)]
    moved = all_gather.ways_ps(prices, first, elements)
    return [sum(way) for way in zip(moved, added, strict=True)]


def landed_ps(prices: Prices, elements: int) -> list[int]:
    """By rank: time until all that lands there is added, with chunks as wide as the narrowest.

    An arrival waits for the addition of the one before it, where there is one landing slot.
    """
    n, width = prices.ranks, elements // prices.ranks
    hops, adds = prices.hops_ps(width), prices.adds_ps(width)
    waits = n - 1 if prices.landing_slots < 2 else 1
    return [(n - 1) * hops[rank - 1] + waits * adds[rank] for rank in range(n)]


def symmetry(ranks: int) -> Symmetry:
    """Round the ring, a chunk with its rank."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0),))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    landed = max(landed_ps(prices, elements))
    return max(*ways_ps(prices, 1, elements), landed, busiest_ps(emit, elements, prices))

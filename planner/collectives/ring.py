"""Ring all-reduce: a reduce-scatter round the ring, then an all-gather round it.

Bandwidth-optimal: every rank sends 2 (n - 1) / n of the array. Source: Patarasuk and Yuan, J.
Parallel Distrib. Comput. 69 (2009), section 4.
"""

from collections.abc import Sequence

from planner.collectives import all_gather, reduce_scatter
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

OPERATION = "all_reduce"


def steps(ranks: int) -> int:
    """Longest chain of transfers: 2 (n - 1)."""
    return 2 * (ranks - 1)


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 n (n - 1) transfers and n (n - 1) additions; chunk ``c`` starts from rank ``c``."""
    copies = Copies(exchange, ready, exchange.ranks)
    reduce_scatter.reduce_round(copies, first=0)
    all_gather.gather_round(copies, first=-1)
    return copies.done()


def symmetry(ranks: int) -> Symmetry:
    """Round the ring, a chunk with its rank."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0),))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest chunk's way round, or the busiest lane."""
    scattered = reduce_scatter.ways_ps(prices, 0, elements)
    gathered = all_gather.ways_ps(prices, -1, elements)
    ways = [sum(both) for both in zip(scattered, gathered, strict=True)]
    hops = prices.hops_ps(elements // prices.ranks)
    whole, landed = sum(hops), reduce_scatter.landed_ps(prices, elements)
    rounds = max(ps + whole - hops[rank - 1] for rank, ps in enumerate(landed))
    lanes = all_gather.lanes_ps(prices, elements, 2)
    return max(*ways, rounds, lanes, busiest_ps(emit, elements, prices))

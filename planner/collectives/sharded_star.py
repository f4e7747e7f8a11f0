"""Sharded parameter server: every rank is the server of one chunk, and a worker for the others.

As much leaves every rank as in a ring, and no link is idle, but additions wait for no chain of
ranks. Source: Li et al., OSDI 2014 (the synchronous case, servers on the workers).
"""

from collections.abc import Sequence

from planner.collectives import star
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps

OPERATION = "all_reduce"


def steps(ranks: int) -> int:
    """Longest chain of transfers: n - 1 arrivals, then n - 1 departures, at every rank."""
    return 2 * (ranks - 1)


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 2 n (n - 1) transfers and n (n - 1) additions."""
    return star.serve(Copies(exchange, ready, exchange.ranks))


def symmetry(ranks: int) -> Symmetry:
    """Every rank serves a chunk and works for the servers after it in turn."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0),))


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: the slowest server, or the busiest lane."""
    served = [
        star.service_ps(star.server_of(chunk, prices.ranks), width, prices)
        for chunk, width in prices.chunks(elements)
    ]
    return max(*served, busiest_ps(emit, elements, prices))

"""Hierarchical all-reduce whose middle phase is recursive halving and doubling across nodes.

The bytes of the hierarchical one in 2 (p - 1) + 2 log2 N steps, so it wins where nodes are many.
Nodes beyond a power of two fold in and out, as in ``halving_doubling``.
"""

from collections.abc import Sequence

import numpy as np

from planner.collectives._copies import Copies
from planner.collectives._levels import Levels
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_edges
from planner.collectives.halving_doubling import core, distances, held
from planner.collectives.halving_doubling import steps as across_steps
from planner.collectives.halving_doubling import symmetry as across_symmetry
from planner.collectives.hierarchical import split

OPERATION = "all_reduce"
NUMBERS = "the ranks of a node"


def steps(ranks: int, *inside: int) -> int:
    """Longest chain of transfers: 2 (p - 1) in a node, those of halving and doubling across."""
    p, nodes = split(ranks, inside)
    return 2 * (p - 1) + across_steps(nodes)


def emit(exchange: Exchange, ready: Sequence[Tasks], *inside: int) -> list[Tasks]:
    """Append 2 n (p - 1) transfers in nodes, and p times those of halving and doubling across."""
    p, nodes = split(exchange.ranks, inside)
    c = core(nodes)
    node = Levels((p, c))
    copies = Copies(exchange, ready, p * c)

    def part(rank: int, first: int, end: int) -> tuple[int, int]:
        """Return blocks of the part that a rank exchanges across nodes."""
        own = rank % p * c
        return own + first, own + end

    beyond = range(c * p, exchange.ranks)
    node.reduce(copies, 0)
    for rank in beyond:
        copies.reduce(rank, rank - c * p, *part(rank, 0, c))
    for d in distances(nodes):
        for rank in copies.each(c * p):
            other = rank // p ^ d
            copies.reduce(rank, other * p + rank % p, *part(rank, *held(other, d, nodes)))
    for d in reversed(distances(nodes)):
        for rank in copies.each(c * p):
            other = rank // p ^ d
            copies.move(other * p + rank % p, rank, *part(rank, *held(other, d, nodes)))
    for rank in beyond:
        copies.move(rank - c * p, rank, *part(rank, 0, c))
    node.gather(copies, 0)
    return copies.done()


def symmetry(ranks: int, *inside: int) -> Symmetry:
    """Round the ranks of all nodes together, and by flipping the bits of the node.

    Raises
    ------
    PlanError
        When some nodes are folded in and out, so that not all ranks do alike.
    """
    p, nodes = split(ranks, inside)
    sizes = (p, *across_symmetry(nodes).sizes)
    return Symmetry(sizes=sizes, blocks=((p, 0), (nodes, 1)), flips=(False, True))


def cost_ps(elements: int, prices: Prices, *inside: int) -> int:
    """Time of one uncontended run: step by step, when each rank has its part, or a busy lane."""
    p, nodes = split(prices.ranks, inside)
    c = core(nodes)
    node, edges = Levels((p, c)), chunk_edges(elements, p * c)
    own = np.arange(prices.ranks) % p * c
    now = node.reduced_ps(prices, elements, 0, np.zeros(prices.ranks, dtype=np.int64))
    folds = np.arange(prices.ranks - c * p)
    whole = edges[own[folds] + c] - edges[own[folds]]
    came = now[folds + c * p] + prices.transfers_ps(folds + c * p, folds, whole)
    now[folds] = np.maximum(now[folds], came) + prices.every_add_ps(folds, whole)
    ranks = np.arange(c * p)
    for d in distances(nodes):
        partner = (ranks // p ^ d) * p + ranks % p
        first, end = held(ranks // p, d, nodes)
        width = edges[own[ranks] + end] - edges[own[ranks] + first]
        came = now[partner] + prices.transfers_ps(partner, ranks, width)
        now[ranks] = np.maximum(now[ranks], came) + prices.every_add_ps(ranks, width)
    for d in reversed(distances(nodes)):
        partner = (ranks // p ^ d) * p + ranks % p
        first, end = held(ranks // p ^ d, d, nodes)
        width = edges[own[ranks] + end] - edges[own[ranks] + first]
        came = now[partner] + prices.transfers_ps(partner, ranks, width)
        now[ranks] = np.maximum(now[ranks], came)
    out = now[folds] + prices.transfers_ps(folds, folds + c * p, whole)
    now[folds + c * p] = np.maximum(now[folds + c * p], out)
    now = node.gathered_ps(prices, elements, 0, now)
    return max(int(now.max()), busiest_ps(emit, elements, prices, *inside))

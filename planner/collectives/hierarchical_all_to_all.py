"""Hierarchical all-to-all: inside every node first, then across nodes by rails.

A rank hands the one that is rank i of its node all that it has for the ranks i of any node; these
then exchange with each other, each for its whole node. What leaves a node is as much as in a direct
exchange, in N - 1 messages a rank instead of n - p, and on a rail-optimised network none leaves its
rail. The array is the matrix of ``all_to_all``. Source: NCCL 2.12's PXN (NVIDIA developer blog,
2022), and the two-level exchange of Rajbhandari et al., DeepSpeed-MoE, ICML 2022, section 5.3.
"""

from collections.abc import Sequence

import numpy as np

from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._lanes import Busy, block_widths, watched
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks
from planner.collectives.hierarchical import split

OPERATION = "all_to_all"
NUMBERS = "the ranks of a node"


def steps(ranks: int, *inside: int) -> int:
    """Longest chain of transfers: p - 1 in a node, N - 1 across."""
    size, nodes = split(ranks, inside)
    return size - 1 + nodes - 1


def busbw_factor(ranks: int, *inside: int) -> float:
    """What a rank sends of its row: to the others of its node, then to other nodes.

    >>> busbw_factor(8, 4)
    1.25
    """
    size, nodes = split(ranks, inside)
    return (size - 1) / size + (nodes - 1) / nodes


def emit(exchange: Exchange, ready: Sequence[Tasks], *inside: int) -> list[Tasks]:
    """Append n (p - 1) transfers of N blocks, then n (N - 1) of p blocks."""
    n = exchange.ranks
    size, nodes = split(n, inside)
    copies = Copies(exchange, ready, n * n)
    for distance in range(1, size):
        for src in copies.each(n):
            dst = _inside(src, distance, size)
            copies.carry(src, dst, [src * n + dst % size + size * node for node in range(nodes)])
    for distance in range(1, nodes):
        for src in copies.each(n):
            dst, first = (src + distance * size) % n, src - src % size
            copies.carry(src, dst, [(first + local) * n + dst for local in range(size)])
    return copies.done()


def _inside(rank: int, distance: int, size: int) -> int:
    """Return the rank so far ahead in a node."""
    return rank - rank % size + (rank % size + distance) % size


def symmetry(ranks: int, *inside: int) -> Symmetry:
    """Round the ranks of all nodes together, and round the nodes; rows and columns alike."""
    size, nodes = split(ranks, inside)
    side = ((nodes, 1), (size, 0))
    return Symmetry(sizes=(size, nodes), blocks=(*side, *side))


def cost_ps(elements: int, prices: Prices, *inside: int) -> int:
    """Time of one uncontended run: the busiest lane; nobody sends across before all is there."""
    n, own = prices.ranks, watched(prices.ranks)
    size, nodes = split(n, inside)
    near, far = np.arange(1, size)[:, None], np.arange(1, nodes)[:, None] * size
    at, first = own % size, own - own % size

    def for_rails(src: Ints, dst: Ints) -> Ints:
        blocks = (src * n + dst % size)[..., None] + size * np.arange(nodes)
        return np.asarray(block_widths(elements, n * n, blocks).sum(axis=-1))

    def for_nodes(src: Ints, dst: Ints) -> Ints:
        sources = (src - src % size)[..., None] + np.arange(size)
        return np.asarray(block_widths(elements, n * n, sources * n + dst[..., None]).sum(axis=-1))

    to, sender = first + (at + near) % size, first + (at - near) % size
    inner = Busy.of(prices, to, for_rails(own, to), sender, for_rails(sender, own))
    to, sender = (own + far) % n, (own - far) % n
    outer = Busy.of(prices, to, for_nodes(own, to), sender, for_nodes(sender, own))
    whole = Busy(
        send_ps=np.maximum(inner.send_ps, inner.receive_ps) + outer.send_ps,
        receive_ps=inner.receive_ps + outer.receive_ps,
    )
    if prices.holds_compute:
        return int((inner.total_ps + outer.total_ps).max())
    return whole.longest_ps(prices)

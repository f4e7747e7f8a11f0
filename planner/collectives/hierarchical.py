"""Hierarchical all-reduce: reduce-scatter in every node, rings across nodes, all-gather in nodes.

Rank i of each node holds part i of the array after the first phase, and exchanges it with the ranks
i of the other nodes: what leaves a node is 2 (N - 1) / N of the array, spread over its NICs, in
2 (p - 1) + 2 (N - 1) steps instead of 2 (n - 1). Source: Jia et al., arXiv 1807.11205, section 4
(three phases; theirs reduces to one rank of a node, this one keeps all at work as in Cho et al.,
BlueConnect, SysML 2019).

It is the torus of two dimensions, the node being the first.
"""

from collections.abc import Sequence

from hwprofiles.errors import PlanError
from planner.collectives import torus
from planner.collectives._levels import near_square
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "all_reduce"
NUMBERS = "the ranks of a node"


def split(ranks: int, inside: tuple[int, ...]) -> tuple[int, int]:
    """Return the ranks of a node and the number of nodes; without numbers, near to each other.

    Raises
    ------
    PlanError
        When the ranks do not fill whole nodes.
    """
    if not inside:
        return near_square(ranks)
    if len(inside) != 1 or ranks % inside[0]:
        told = "x".join(map(str, inside))
        raise PlanError(
            f"algorithm 'hierarchical': expected ranks of a node that divide {ranks}, got {told};"
            " give another number"
        )
    return inside[0], ranks // inside[0]


def steps(ranks: int, *inside: int) -> int:
    """Longest chain of transfers: 2 (p - 1) in a node, 2 (N - 1) across."""
    return torus.steps(ranks, *split(ranks, inside))


def emit(exchange: Exchange, ready: Sequence[Tasks], *inside: int) -> list[Tasks]:
    """Append 2 n (p + N - 2) transfers and half as many additions."""
    return torus.emit(exchange, ready, *split(exchange.ranks, inside))


def symmetry(ranks: int, *inside: int) -> Symmetry:
    """Round the nodes, and round the ranks of all nodes together."""
    return torus.symmetry(ranks, *split(ranks, inside))


def cost_ps(elements: int, prices: Prices, *inside: int) -> int:
    """Time of one uncontended run: the slowest way through the three phases, or a busy lane."""
    return torus.cost_ps(elements, prices, *split(prices.ranks, inside))

"""Scatter down a binomial tree: a rank gets the chunks of its subtree and keeps the first.

Source: Chan, Heimlich, Purkayastha and van de Geijn, Concurrency Comput. Pract. Exp. 19 (2007),
section 4.1.
"""

from collections.abc import Sequence

from planner.collectives._copies import Copies
from planner.collectives._trees import binomial, spread_ps, subtree_elements, subtree_end
from planner.collectives.base import Exchange, Prices, Tasks

OPERATION = "scatter"


def steps(ranks: int) -> int:
    """Longest chain of transfers: ceil(log2 n)."""
    return (ranks - 1).bit_length()


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append n - 1 transfers."""
    tree = binomial(exchange.ranks)
    copies = Copies(exchange, ready, exchange.ranks)
    for parent, child in tree.edges():
        copies.move(parent, child, child, subtree_end(tree, child))
    return copies.done()


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: where all links are alike, the root's sends one by one."""
    tree = binomial(prices.ranks)
    return spread_ps(tree, prices, subtree_elements(tree, elements))

"""Double binary tree all-reduce: two trees carry half of the array each, and share no inner rank.

A rank that adds and forwards in one tree is a leaf of the other, so the work of inner ranks is
spread over all. Source: Sanders, Speck and Träff, Parallel Comput. 35 (2009), section 3.

ASSUMES: halves are not cut further, so no rank adds one part while it receives the next.
"""

from collections.abc import Sequence
from functools import cache

from planner.collectives._copies import Copies
from planner.collectives._trees import Tree, reduced_ps, spread_ps
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_spans

OPERATION = "all_reduce"


def steps(ranks: int) -> int:
    """Longest chain of transfers: 4 floor(log2 n), less 2 where the last level has a gap.

    A parent hears two children one after the other, and answers them so.
    """
    is_full = ranks & (ranks + 1) == 0
    return 4 * (ranks.bit_length() - 1) - (0 if is_full else 2)


def in_order(ranks: int) -> Tree:
    """Return the binary tree whose in-order walk is 0 .. n - 1; inner ranks are odd ones.

    >>> in_order(6).children
    ((), (0, 2), (), (1, 5), (), (4,))
    """
    children = []
    for place in range(1, ranks + 1):
        step = (place & -place) // 2
        left = (place - step,) if step else ()
        while step and place + step > ranks:
            step //= 2
        right = (place + step,) if step else ()
        children.append(tuple(child - 1 for child in (*left, *right)))
    return Tree(root=(1 << (ranks.bit_length() - 1)) - 1, children=tuple(children))


@cache
def pair(ranks: int) -> tuple[Tree, Tree]:
    """Return the two trees: the second is the first with every rank moved down by one."""
    first = in_order(ranks)
    return first, first.relabelled(lambda rank: (rank - 1) % ranks)


def emit(exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
    """Append 4 (n - 1) transfers and 2 (n - 1) additions."""
    copies = Copies(exchange, ready, 2)
    trees = pair(exchange.ranks)
    for half, tree in enumerate(trees):
        for parent, child in reversed(tree.edges()):
            copies.reduce(child, parent, half)
    for half, tree in enumerate(trees):
        for parent, child in tree.edges():
            copies.move(parent, child, half)
    return copies.done()


def cost_ps(elements: int, prices: Prices) -> int:
    """Time of one uncontended run: up and down the slower tree, or the busiest lane.

    Where n + 2 is a power of two (6, 14, ...), both trees want one receive lane at one time, and a
    run takes a transfer more.
    """
    chains = []
    for tree, (begin, end) in zip(pair(prices.ranks), chunk_spans(elements, 2), strict=True):
        up_ps = reduced_ps(tree, prices, end - begin)
        widths = [end - begin] * prices.ranks
        chains.append(up_ps + spread_ps(tree, prices, widths))
    return max(*chains, busiest_ps(emit, elements, prices))

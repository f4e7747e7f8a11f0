"""Trees over the ranks of a group, and how long values take along them.

Children are listed in the order in which their parent sends to them; values that come up the tree
arrive in the reverse order, so the subtree that takes longest is served first and heard last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from planner.collectives.base import Prices, chunk_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A rooted tree over ranks ``0 .. n - 1``."""

    root: int
    children: tuple[tuple[int, ...], ...]
    """By rank."""
    upwards: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """All ranks, children before their parent."""
    likes: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """By rank: the first of ``upwards`` whose subtree has the same shape."""
    shapes: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Those first ones, children before their parent."""

    def __post_init__(self) -> None:
        downwards = [self.root, *(child for _, child in self.edges())]
        object.__setattr__(self, "upwards", tuple(reversed(downwards)))
        likes = [0] * len(self.children)
        first: dict[tuple[int, ...], int] = {}
        for rank in self.upwards:
            shape = tuple(likes[child] for child in self.children[rank])
            likes[rank] = first.setdefault(shape, rank)
        object.__setattr__(self, "likes", tuple(likes))
        object.__setattr__(self, "shapes", tuple(first.values()))

    def edges(self) -> list[tuple[int, int]]:
        """Return (parent, child) pairs: a parent's own edge first, then those of its subtrees."""
        found = []
        todo = [(self.root, child) for child in reversed(self.children[self.root])]
        while todo:
            found.append(todo.pop())
            child = found[-1][1]
            todo += [(child, below) for below in reversed(self.children[child])]
        return found

    def relabelled(self, label: Callable[[int], int]) -> "Tree":
        """Return the same tree with rank ``r`` called ``label(r)``, a permutation."""
        moved: dict[int, tuple[int, ...]] = {}
        for rank, below in enumerate(self.children):
            moved[label(rank)] = tuple(map(label, below))
        return Tree(root=label(self.root), children=tuple(moved[r] for r in range(len(moved))))


@cache
def binomial(ranks: int) -> Tree:
    """Return the binomial tree: the subtree of each rank is a range that begins with it.

    >>> binomial(6).children
    ((4, 2, 1), (), (3,), (), (5,), ())
    """
    children = []
    for rank in range(ranks):
        reach = rank & -rank or ranks  # 0 is the root; the others own up to their lowest set bit
        bits = [1 << k for k in reversed(range(ranks.bit_length()))]
        children.append(tuple(rank + b for b in bits if b < reach and rank + b < ranks))
    return Tree(root=0, children=tuple(children))


def subtree_end(tree: Tree, rank: int) -> int:
    """Return one past the last rank below ``rank`` in a binomial tree.

    >>> [subtree_end(binomial(6), rank) for rank in range(6)]
    [6, 2, 4, 4, 6, 6]
    """
    while tree.children[rank]:
        rank = tree.children[rank][0]
    return rank + 1


def subtree_elements(tree: Tree, elements: int) -> list[int]:
    """Return how much of an array in chunks is for each rank and those below it."""
    spans = chunk_spans(elements, len(tree.children))
    return [spans[subtree_end(tree, r) - 1][1] - begin for r, (begin, _) in enumerate(spans)]


def _priced(tree: Tree, *, alike: bool) -> tuple[Sequence[int], Sequence[int]]:
    """Return the ranks to work out, children first, and by rank the one that stands for it."""
    if alike:
        return tree.shapes, tree.likes
    return tree.upwards, range(len(tree.children))


def spread_ps(tree: Tree, prices: Prices, widths: Sequence[int]) -> int:
    """Time from when the root has its values until all below have theirs.

    ``widths[child]`` elements go to a child. A rank sends one after another, in some order; to send
    first what has the longest way left is the best one (Jackson's rule for one machine with
    delivery times, 1955), so no order takes less.
    """
    ranks, likes = _priced(tree, alike=prices.alike and min(widths) == max(widths))
    spread: dict[int, int] = {}
    for rank in ranks:
        below = [
            (spread[likes[child]], prices.transfer_ps(rank, child, widths[child]))
            for child in tree.children[rank]
        ]
        sent = spread[rank] = 0
        for rest_ps, transfer_ps in sorted(below, reverse=True):
            sent += transfer_ps
            spread[rank] = max(spread[rank], sent + rest_ps)
    return spread[likes[tree.root]]


def gathered_ps(tree: Tree, prices: Prices, widths: Sequence[int], rank: int) -> int:
    """When ``rank`` has what is below it: arrivals in the order in which they are ready."""
    now = 0
    ready = [(gathered_ps(tree, prices, widths, child), child) for child in tree.children[rank]]
    for ready_ps, child in sorted(ready):
        now = max(now, ready_ps) + prices.transfer_ps(child, rank, widths[child])
    return now


def reduced_ps(tree: Tree, prices: Prices, elements: int) -> int:
    """When the root has added all that is below it, in the order of arrival that the tree fixes."""
    ranks, likes = _priced(tree, alike=prices.alike)
    reduced: dict[int, int] = {}
    for rank in ranks:
        arrivals = [(child, reduced[likes[child]]) for child in reversed(tree.children[rank])]
        reduced[rank] = prices.absorbed_ps(rank, elements, arrivals) if arrivals else 0
    return reduced[likes[tree.root]]

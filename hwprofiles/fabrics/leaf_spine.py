"""Leaf and spine: ends at leaves, every leaf at every spine; with oversubscription if so wished."""

from collections.abc import Iterator

from hwprofiles.fabrics.base import Wire, spines_above
from hwprofiles.facts import Count, Ratio, Text


def build(
    ends: int,
    *,
    link: Text,
    per_leaf: Count,
    spines: Count | None = None,
    oversubscription: Ratio = 1.0,
) -> Iterator[Wire]:
    """Return the wires, all of the same kind of cable.

    Parameters
    ----------
    ends : int
        What is joined, ``per_leaf`` at each leaf in order; the last leaf may have fewer.
    link : str
        One cable, down or up.
    per_leaf : int
        Ends at a leaf.
    spines : int, optional
        Each leaf's uplinks are spread over so many; one a cable by default.
    oversubscription : float
        Ends of a full leaf over its uplinks: 1 is full bisection, 3 a third of it.
    """
    leaves = [f"leaf{i}" for i in range(-(-ends // per_leaf))]
    for end in range(ends):
        yield Wire(end, leaves[end // per_leaf], link)
    yield from spines_above(leaves, link, per_leaf / oversubscription, spines)

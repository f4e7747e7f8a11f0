"""Wires, and what several builders share."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hwprofiles.errors import ProfileError

Node = int | str
"""The number of an end, or the name of a switch."""


class Wire(NamedTuple):
    """A connection both ways between two nodes; the link part is named, not loaded."""

    start: Node
    end: Node
    link: str
    """Name or file of a link part; ``"4 x NAME"`` is four of them that carry a transfer together.
    """
    cables: float = 1.0
    """Parallel cables: one transfer takes one of them. A fraction where a ratio leaves one."""
    directed: bool = False
    """From ``start`` to ``end`` only."""


def star(ends: int, link: str, centre: str) -> Iterator[Wire]:
    """Join every end to one switch."""
    for end in range(ends):
        yield Wire(end, centre, link)


def spines_above(
    leaves: Sequence[str], link: str, uplinks: float, spines: int | None, prefix: str = "spine"
) -> Iterator[Wire]:
    """Join every leaf to every spine, ``uplinks`` cables a leaf; nothing above a single leaf.

    Without a number of ``spines`` there are as many as whole uplinks: one cable to each.
    """
    if len(leaves) < 2:
        return
    count = spines or max(1, int(uplinks))
    for leaf in leaves:
        for spine in range(count):
            yield Wire(leaf, f"{prefix}{spine}", link, uplinks / count)


def number(place: Sequence[int], dims: Sequence[int]) -> int:
    """Return the number of the end at a place of a torus, whose last coordinate runs fastest."""
    at = 0
    for coordinate, size in zip(place, dims, strict=True):
        at = at * size + coordinate
    return at


def place_of(end: int, dims: Sequence[int]) -> tuple[int, ...]:
    """Return the coordinates of an end of a torus."""
    place: list[int] = []
    for size in reversed(dims):
        end, coordinate = divmod(end, size)
        place.append(coordinate)
    return tuple(reversed(place))


def check(holds: bool, sentence: str) -> None:
    """Raise ``ProfileError`` with ``sentence`` unless it holds."""
    if not holds:
        raise ProfileError(sentence)

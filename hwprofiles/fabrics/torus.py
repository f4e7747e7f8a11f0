"""Torus and mesh of any number of dimensions: neighbours joined, with or without wrap-around.

Ends are numbered row by row: the last coordinate runs fastest.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from hwprofiles.fabrics.base import Wire, check, number
from hwprofiles.facts import Count, Text


def build(
    ends: int,
    *,
    link: Text,
    dims: list[Count],
    wrap: bool = True,
    pod: list[Count] | None = None,
    cube: Count | None = None,
) -> Iterator[Wire]:
    """Return the wires; where a wrap would join neighbours again they get a second cable.

    Parameters
    ----------
    ends : int
        The product of ``dims``.
    link : str
        One link between neighbours.
    dims : list of int
        Ends along each dimension.
    wrap, pod, cube
        Which dimensions close to a ring: see :func:`wraps`.

    Raises
    ------
    ProfileError
        ``ends`` is not the product of ``dims``.
    """
    check(ends == prod(dims), f"dims: expected a product of {ends} devices, got {dims}")
    closed = wraps(dims, wrap=wrap, pod=pod, cube=cube)
    for place in product(*map(range, dims)):
        for axis, size in enumerate(dims):
            after = list(place)
            after[axis] = (place[axis] + 1) % size
            if size == 1 or (after[axis] == 0 and (size == 2 or not closed[axis])):
                continue
            cables = 2.0 if size == 2 and closed[axis] else 1.0
            yield Wire(number(place, dims), number(after, dims), link, cables)


def wraps(
    dims: Sequence[int],
    *,
    wrap: bool = True,
    pod: Sequence[int] | None = None,
    cube: int | None = None,
) -> tuple[bool, ...]:
    """Return which dimensions are rings.

    All of them if ``wrap``. A slice of a ``pod`` of cubes joined by optical switches (``cube``
    chips along each side) has all rings where it is made of whole cubes, else none; a slice of
    another ``pod`` has a ring where it takes the whole dimension.
    """
    if cube:
        return (wrap and all(size % cube == 0 for size in dims),) * len(dims)
    if pod:
        return tuple(wrap and size == whole for size, whole in zip(dims, pod, strict=True))
    return (wrap,) * len(dims)

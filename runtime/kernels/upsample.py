"""Maps enlarged by a whole factor.

Letters: C channels, n samples, H x W input, f factor.
"""

from collections.abc import Iterator
from itertools import product

from runtime.kernels import Array


def forward(x: Array, y: Array, *, factor: int) -> None:
    """Repeat every place ``factor`` times along both sides.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y : float array, shape (C, f H, f W, n), written
    factor : int
    """
    for repeat in _repeats(y, factor):
        repeat[...] = x


def input_grad(dy: Array, dx: Array, *, factor: int) -> None:
    """``dx`` = sum of the places of ``dy`` that repeat one of ``x``, row by row.

    Parameters
    ----------
    dy : float array, shape (C, f H, f W, n)
    dx : float array, shape (C, H, W, n), written
    factor : int
    """
    first, *others = _repeats(dy, factor)
    dx[...] = first
    for repeat in others:
        dx += repeat


def _repeats(maps: Array, factor: int) -> Iterator[Array]:
    """Yield the views of enlarged maps of shape (C, H, W, n)."""
    for row, column in product(range(factor), repeat=2):
        yield maps[:, row::factor, column::factor]

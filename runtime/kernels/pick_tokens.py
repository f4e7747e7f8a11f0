"""Tokens at given positions; n samples of S tokens of F features, M of them picked."""

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array
from runtime.kernels.embedding import add_rows

Numbers = npt.NDArray[np.int64]


def forward(x0: Array, x1: Numbers, y: Array, *, first: int) -> None:
    """``y[m] = x0[x1[first + m]]``.

    Parameters
    ----------
    x0 : float array, shape (n, S, F)
    x1 : int64 array, shape (n, I)
        Positions among other numbers; one that is not there gives the last.
    y : float array, shape (n, M, F), written
    first : int
        Number of ``x1`` that is the first position.
    """
    for tokens, places, result in zip(x0, x1[:, first : first + y.shape[1]], y, strict=True):
        np.take(tokens, places, axis=0, out=result, mode="clip")


def input_grad(x1: Numbers, dy: Array, dx0: Array, *, first: int) -> None:
    """Zeros, and ``dy[m]`` added at the position it was picked from.

    Parameters
    ----------
    x1 : int64 array, shape (n, I)
    dy : float array, shape (n, M, F)
    dx0 : float array, shape (n, S, F), written
    first : int
    """
    dx0.fill(0)
    for places, gradient, result in zip(x1[:, first : first + dy.shape[1]], dy, dx0, strict=True):
        add_rows(places, gradient, result)

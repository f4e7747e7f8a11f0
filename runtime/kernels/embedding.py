"""Rows of a table by number; V rows of F features, n samples of S tokens among I numbers."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array
from sim.arrays.compiled import cached, type_of

Numbers = npt.NDArray[np.int64]


def forward(x: Numbers, w: Array, y: Array, *, first: int) -> None:
    """``y[s] = w[x[first + s]]``.

    Parameters
    ----------
    x : int64 array, shape (n, I)
        Rows of ``w``; one that is not there gives the nearest.
    w : float array, shape (V, F)
    y : float array, shape (n, S, F), written
    first : int
        Number of ``x`` that is the first token.
    """
    np.take(w, x[:, first : first + y.shape[1]], axis=0, out=y, mode="clip")


def weight_grad(x: Numbers, dy: Array, dw: Array, *, first: int, tied: int) -> None:
    """Add every row of ``dy`` to the row of ``dw`` that it came from.

    Parameters
    ----------
    x : int64 array, shape (n, I)
    dy : float array, shape (n, S, F)
    dw : float array, shape (V, F), written, or added to where ``tied`` is 1
    first, tied : int
    """
    if not tied:
        dw.fill(0)
    add_rows(x[:, first : first + dy.shape[1]], dy, dw)


def add_rows(rows: Numbers, given: Array, total: Array) -> None:
    """``total[rows[i]] += given[i]`` in this order, the nearest row where there is no such one.

    ``given`` is flat or not, as many rows of ``total`` as there are numbers. Compiled:
    ``numpy.add.at`` takes some ten times as long.
    """
    numbers = np.ascontiguousarray(rows).reshape(-1)
    _adding(total.dtype)(numbers, given.reshape(-1, total.shape[1]), total)


@cache
def _adding(dtype: "np.dtype[np.floating[Any]]") -> Callable[..., None]:
    """Return ``_add`` compiled for a dtype."""
    table = type_of(np.empty((1, 1), dtype))
    return cached(type_of(np.empty(1, np.int64)), table, table)(_add)


def _add(rows: Numbers, given: Array, total: Array) -> None:
    for i, number in enumerate(rows):
        row = min(max(number, 0), len(total) - 1)
        for f in range(total.shape[1]):
            total[row, f] += given[i, f]

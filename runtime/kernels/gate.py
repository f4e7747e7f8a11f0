"""Maps scaled channel by channel; the forward phase works in place.

Compiled: with few samples the run that shares its factors is too short for NumPy, so some of them
side by side are taken as one row.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from runtime.kernels import Array
from sim.arrays.compiled import cached, type_of

ROW = 512
"""Least elements of a row."""


def forward(x0: Array, x1: Array, y: Array) -> None:
    """``y = x0 x1``.

    Parameters
    ----------
    x0 : float array, shape (C, H, W, n)
    x1 : float array, shape (C, 1, 1, n)
        Above 0.
    y : float array, shape (C, H, W, n), written; ``x0`` itself or apart
    """
    channels, _, _, samples = x1.shape
    row = np.empty((1, -(-ROW // samples) * samples), y.dtype)
    flat = (array.reshape(channels, -1) for array in (x0, x1, y))
    _compiled(_scale, 4, y.dtype)(*flat, row)


def input_grad(y: Array, x1: Array, dy: Array, dx0: Array, dx1: Array) -> None:
    """``dx1`` = sums of ``dy y / x1``, and ``dx0 = dy x1``, over ``dy`` itself or apart.

    Parameters
    ----------
    y, dy : float array, shape (C, H, W, n)
    x1 : float array, shape (C, 1, 1, n)
    dx0 : float array, shape (C, H, W, n), written
    dx1 : float array, shape (C, 1, 1, n), written
    """
    channels, _, _, samples = x1.shape
    rows = np.empty((2, -(-ROW // samples) * samples), y.dtype)
    flat = (array.reshape(channels, -1) for array in (y, x1, dy, dx0, dx1))
    _compiled(_gradients, 6, y.dtype)(*flat, rows)


@cache
def _compiled(
    function: Callable[..., None], arrays: int, dtype: "np.dtype[np.floating[Any]]"
) -> Callable[..., None]:
    """Return a function of so many flat maps compiled for a dtype."""
    return cached(*[type_of(np.empty((1, 1), dtype))] * arrays)(function)


def _scale(x: Array, factors: Array, y: Array, rows: Array) -> None:
    (channels, places), samples, size = x.shape, factors.shape[1], rows.shape[1]
    for c in range(channels):
        for e in range(size):
            rows[0, e] = factors[c, e % samples]
        for at in range(0, places, size):
            part, out = x[c, at : at + size], y[c, at : at + size]
            for e in range(len(part)):
                out[e] = part[e] * rows[0, e]


def _gradients(y: Array, factors: Array, dy: Array, dx: Array, total: Array, rows: Array) -> None:
    (channels, places), samples, size = y.shape, factors.shape[1], rows.shape[1]
    for c in range(channels):
        for e in range(size):
            rows[0, e], rows[1, e] = factors[c, e % samples], 0
        for at in range(0, places, size):
            part, given, out = (
                y[c, at : at + size],
                dy[c, at : at + size],
                dx[c, at : at + size],
            )
            for e in range(len(part)):
                one = given[e]
                rows[1, e] += one * part[e]
                out[e] = one * rows[0, e]
        for k in range(samples):
            total[c, k] = 0
        for e in range(size):
            total[c, e % samples] += rows[1, e]
        for k in range(samples):
            total[c, k] /= factors[c, k]

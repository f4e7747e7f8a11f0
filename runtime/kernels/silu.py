"""Sigmoid-weighted linear unit, elementwise, on arrays of any one shape.

NumPy takes ``t = tanh(x / 2)`` of a piece by vectors; what is made of it is compiled, in one pass.
The logistic function is ``(1 + t) / 2``, which cannot overflow.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from planner.opcall import PIECE
from runtime.kernels import Array, pieces
from sim.arrays.compiled import cached, type_of


def forward(x: Array, y: Array) -> None:
    """``y = x / (1 + exp(-x))``; both of the same shape, ``y`` written."""
    for part, out in pieces(PIECE, x, y):
        np.multiply(part, 0.5, out=out)
        np.tanh(out, out=out)
        _compiled(_weighted, 2, x.dtype)(part, out)


def input_grad(x: Array, dy: Array, dx: Array, work: Array) -> None:
    """``dx = dy s (1 + x (1 - s))`` with the logistic function ``s`` of ``x``.

    ``x``, ``dy`` and ``dx`` (written) have the same shape; ``work`` holds a piece of ``tanh``.
    """
    for part, gradient, out in pieces(work.size, x, dy, dx):
        t = work[: part.size]
        np.multiply(part, 0.5, out=t)
        np.tanh(t, out=t)
        _compiled(_gradient, 4, x.dtype)(part, gradient, t, out)


@cache
def _compiled(
    function: Callable[..., None], arrays: int, dtype: "np.dtype[np.floating[Any]]"
) -> Callable[..., None]:
    """Return a function of so many flat arrays compiled for a dtype."""
    return cached(*[type_of(np.empty(1, dtype))] * arrays)(function)


def _weighted(x: Array, y: Array) -> None:
    half = y.dtype.type(0.5)
    for e in range(len(x)):
        y[e] = x[e] * (half + half * y[e])


def _gradient(x: Array, dy: Array, t: Array, dx: Array) -> None:
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    for e in range(len(x)):
        s = half + half * t[e]
        dx[e] = dy[e] * (s * (one + x[e] * (one - s)))

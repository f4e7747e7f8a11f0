"""Normalisation of every token, in one pass over memory; T tokens in all, F features.

``stats`` is (2, T): means, and one over the deviations. Compiled, for NumPy takes a pass for each
operation: three to four times as long.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from runtime.kernels import Array
from sim.arrays.compiled import cached, type_of

EPSILON = 1e-5
"""Added to variances. Source: Ba, Kiros and Hinton, 2016; the value is GPT-2's."""


def forward(x: Array, w: Array, b: Array, y: Array, stats: Array) -> None:
    """``y = w (x - mean) / deviation + b``.

    Parameters
    ----------
    x : float array, shape (n, S, F) or (n, F)
    w, b : float array, shape (F,)
    y : float array, shape of ``x``, written
    stats : float array, shape (2, n, S) or (2, n), written
    """
    _compiled("forward", x.dtype)(_rows(x), w, b, _rows(y), _moments(stats))


def weight_grad(x: Array, dy: Array, stats: Array, dw: Array, db: Array) -> None:
    """``db`` = sums of ``dy``, ``dw`` = sums of ``dy (x - mean) / deviation``.

    Parameters
    ----------
    x, dy : float array, shape (n, S, F) or (n, F)
    stats : float array, as ``forward`` leaves it
    dw, db : float array, shape (F,), written
    """
    dw.fill(0)
    db.fill(0)
    _compiled("weight_grad", x.dtype)(_rows(x), _rows(dy), _moments(stats), dw, db)


def input_grad(x: Array, dy: Array, w: Array, stats: Array, dx: Array) -> None:
    """``dx = (g - mean g - z mean(g z)) / deviation`` with ``g = w dy`` and ``z`` normalised ``x``.

    Parameters
    ----------
    x, dy : float array, shape (n, S, F) or (n, F)
    w : float array, shape (F,)
    stats : float array, as ``forward`` leaves it
    dx : float array, shape of ``x``, written
    """
    _compiled("input_grad", x.dtype)(_rows(x), _rows(dy), w, _moments(stats), _rows(dx))


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _moments(stats: Array) -> Array:
    return stats.reshape(2, -1)


@cache
def _compiled(name: str, dtype: "np.dtype[np.floating[Any]]") -> Callable[..., None]:
    """Return a function below compiled for a dtype."""
    rows, row = (type_of(np.empty((1,) * axes, dtype)) for axes in (2, 1))
    function, arguments = {
        "forward": (_forward, (rows, row, row, rows, rows)),
        "weight_grad": (_weight_grad, (rows, rows, rows, row, row)),
        "input_grad": (_input_grad, (rows, rows, row, rows, rows)),
    }[name]
    return cached(*arguments, any_order=True)(function)


def _forward(x: Array, w: Array, b: Array, y: Array, stats: Array) -> None:
    tokens, features = x.shape
    for t in range(tokens):
        total = squares = x[t, 0] - x[t, 0]
        for f in range(features):
            total += x[t, f]
        mean = x.dtype.type(total / features)
        for f in range(features):
            squares += (x[t, f] - mean) * (x[t, f] - mean)
        inverse = x.dtype.type(1 / np.sqrt(squares / features + EPSILON))
        stats[0, t], stats[1, t] = mean, inverse
        for f in range(features):
            y[t, f] = w[f] * ((x[t, f] - mean) * inverse) + b[f]


def _weight_grad(x: Array, dy: Array, stats: Array, dw: Array, db: Array) -> None:
    tokens, features = x.shape
    for t in range(tokens):
        mean, inverse = stats[0, t], stats[1, t]
        for f in range(features):
            dw[f] += dy[t, f] * ((x[t, f] - mean) * inverse)
            db[f] += dy[t, f]


def _input_grad(x: Array, dy: Array, w: Array, stats: Array, dx: Array) -> None:
    tokens, features = x.shape
    for t in range(tokens):
        mean, inverse = stats[0, t], stats[1, t]
        shift = slope = mean - mean
        for f in range(features):
            given = w[f] * dy[t, f]
            shift += given
            slope += given * (x[t, f] - mean)
        # of the mean of g, and of that of g z for each x - mean
        shift = x.dtype.type(shift / features)
        slope = x.dtype.type(slope * inverse * inverse / features)
        for f in range(features):
            dx[t, f] = (w[f] * dy[t, f] - shift - (x[t, f] - mean) * slope) * inverse

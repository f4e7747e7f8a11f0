"""Rectifier, elementwise, on contiguous arrays of any one shape; both phases work in place."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from runtime.kernels import Array
from sim.arrays.compiled import cached, type_of


def forward(x: Array, y: Array) -> None:
    """``y = max(x, 0)``; both of the same shape, ``y`` written, ``x`` itself or apart."""
    np.maximum(x, 0, out=y)


def input_grad(y: Array, dy: Array, dx: Array) -> None:
    """``dx = dy`` where ``y > 0``, else 0; all of one shape, ``dx`` written, ``dy`` or apart.

    Compiled, for NumPy takes three passes; in place by a loop that names two arrays, for one that
    names three, of which two are the same, is not vectorised.
    """
    arrays = (y, dx) if dx.ctypes.data == dy.ctypes.data else (y, dy, dx)
    _compiled(y.dtype, len(arrays))(*(array.reshape(-1) for array in arrays))


@cache
def _compiled(dtype: "np.dtype[np.floating[Any]]", arrays: int) -> Callable[..., None]:
    """Return ``_pass`` compiled for a dtype, or ``_pass_in_place``."""
    run = _pass if arrays == 3 else _pass_in_place
    return cached(*[type_of(np.empty(1, dtype))] * arrays)(run)


def _pass(y: Array, dy: Array, dx: Array) -> None:
    nothing = dx.dtype.type(0)
    for e in range(len(y)):
        dx[e] = dy[e] if y[e] > 0 else nothing


def _pass_in_place(y: Array, dx: Array) -> None:
    nothing = dx.dtype.type(0)
    for e in range(len(y)):
        dx[e] = dx[e] if y[e] > 0 else nothing

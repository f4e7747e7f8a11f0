"""Average pooling over disjoint square windows; rows and columns that fill no window are left out.

Letters: C channels, n samples, H x W input, P x Q output with P = H // window, Q = W // window.
"""

import numpy as np

from runtime.kernels import Array


def _corners(x: Array, y: Array, window: int) -> list[Array]:
    """Return ``window ** 2`` views of ``x`` in the shape of ``y``: one place of every window."""
    height, width = y.shape[1] * window, y.shape[2] * window
    return [x[:, i:height:window, j:width:window] for i in range(window) for j in range(window)]


def forward(x: Array, y: Array, *, window: int) -> None:
    """``y`` = mean of each window of ``x``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y : float array, shape (C, P, Q, n), written
    window : int
        Side of a window, and the step between windows.
    """
    first, *others = _corners(x, y, window)
    total = first
    for corner in others:
        np.add(total, corner, out=y)
        total = y
    np.multiply(total, 1 / window**2, out=y)


def input_grad(dy: Array, dx: Array, *, window: int) -> None:
    """``dx`` = ``dy / window^2`` on each place of its window, 0 elsewhere.

    Parameters
    ----------
    dy : float array, shape (C, P, Q, n)
    dx : float array, shape (C, H, W, n), written
    window : int
        Side of a window, and the step between windows.
    """
    if dx.size != dy.size * window**2:
        dx.fill(0)
    scale = 1 / window**2
    for corner in _corners(dx, dy, window):
        np.multiply(dy, scale, out=corner)

"""Maps ``(C, H, W, n)`` to vectors ``(n, C H W)`` and back: a transposition."""

import numpy as np

from runtime.kernels import Array


def forward(x: Array, y: Array) -> None:
    """``y[n, (c, h, w)] = x[c, h, w, n]``, ``y`` written."""
    np.copyto(y, x.reshape(-1, len(y), copy=False).T)


def input_grad(dy: Array, dx: Array) -> None:
    """``dx[c, h, w, n] = dy[n, (c, h, w)]``, ``dx`` written."""
    np.copyto(dx.reshape(-1, len(dy), copy=False), dy.T)

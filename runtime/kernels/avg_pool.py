"""Average pooling over square windows; zeros of the border count as places.

Letters: C channels, n samples, H x W input, P x Q output.
"""

import numpy as np

from runtime.kernels import Array, overlaps


def forward(x: Array, y: Array, *, window: int, stride: int = 0, pad: int = 0) -> None:
    """``y`` = mean of each window of ``x``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y : float array, shape (C, P, Q, n), written
    window, stride, pad : int
        Side of a window, step between windows (0: the side), width of the border.
    """
    if y[0, ..., 0].size == 1 and not pad and window == x.shape[1] == x.shape[2]:
        np.add.reduce(x, axis=(1, 2), keepdims=True, out=y)
        np.multiply(y, 1 / window**2, out=y)
        return
    first = not pad
    if pad:
        y.fill(0)
    for source, target, _, _ in overlaps(x, y, window=window, stride=stride, pad=pad):
        if first:
            np.copyto(target, source)
            first = False
        else:
            np.add(target, source, out=target)
    np.multiply(y, 1 / window**2, out=y)


def input_grad(dy: Array, dx: Array, *, window: int, stride: int = 0, pad: int = 0) -> None:
    """``dx`` = ``dy / window^2`` added to each place of its window, 0 elsewhere.

    Parameters
    ----------
    dy : float array, shape (C, P, Q, n)
    dx : float array, shape (C, H, W, n), written
    window, stride, pad : int
        As for ``forward``.
    """
    disjoint = (stride or window) >= window and not pad
    if not disjoint or dx.size != dy.size * window**2:
        dx.fill(0)
    for place, gradient, _, _ in overlaps(dx, dy, window=window, stride=stride, pad=pad):
        if disjoint:
            np.multiply(gradient, 1 / window**2, out=place)
        else:
            np.add(place, gradient, out=place)
    if not disjoint:
        np.multiply(dx, 1 / window**2, out=dx)

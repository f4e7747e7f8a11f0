"""Maps scaled channel by channel; the forward phase works in place."""

import numpy as np

from runtime.kernels import Array, slabs


def forward(x0: Array, x1: Array, y: Array) -> None:
    """``y = x0 x1``.

    Parameters
    ----------
    x0 : float array, shape (C, H, W, n)
    x1 : float array, shape (C, 1, 1, n)
        Above 0.
    y : float array, shape (C, H, W, n), written; ``x0`` itself or apart
    """
    np.multiply(x0, x1, out=y)


def input_grad(y: Array, x1: Array, dy: Array, dx0: Array, dx1: Array, work: Array) -> None:
    """``dx1`` = sums of ``dy y / x1``, then ``dx0 = dy x1``, over ``dy`` itself or apart.

    Parameters
    ----------
    y, dy : float array, shape (C, H, W, n)
    x1 : float array, shape (C, 1, 1, n)
    dx0 : float array, shape (C, H, W, n), written
    dx1 : float array, shape (C, 1, 1, n), written
    work : float array, at least H W n
    """
    for maps, gradient, total in slabs(work.size, y, dy, dx1):
        product = work[: maps.size].reshape(maps.shape)
        np.multiply(maps, gradient, out=product)
        np.add.reduce(product, axis=(1, 2), keepdims=True, out=total)
    np.divide(dx1, x1, out=dx1)
    np.multiply(dy, x1, out=dx0)

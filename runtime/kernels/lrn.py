"""Local response normalisation across neighbouring channels.

Letters: C channels, H x W places, n samples. Constants k = 2, alpha = 1e-4 (not divided by the
size), beta = 0.75: Krizhevsky, Sutskever and Hinton, NeurIPS 2012, section 3.3.
"""

import numpy as np

from planner.opcall import PIECE
from runtime.kernels import Array, pieces

K, ALPHA, BETA = 2.0, 1e-4, 0.75


def forward(x: Array, y: Array, scale: Array, *, size: int = 5) -> None:
    """``y = x scale^-beta`` with ``scale = k + alpha`` times the sum of ``size`` squares.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y, scale : float array, shape (C, H, W, n), written
    size : int
        Channels summed over, centred on the one at hand.
    """
    np.multiply(x, x, out=y)
    _neighbours(y, scale, size)
    np.multiply(scale, ALPHA, out=scale)
    np.add(scale, K, out=scale)
    _power(scale, y)
    np.multiply(x, y, out=y)


def input_grad(
    x: Array, y: Array, scale: Array, dy: Array, dx: Array, work: Array, *, size: int = 5
) -> None:
    """``dx = dy scale^-beta - 2 alpha beta x`` times the sum over neighbours of ``dy y / scale``.

    Parameters
    ----------
    x, y, scale, dy : float array, shape (C, H, W, n)
    dx : float array, shape (C, H, W, n), written
    work : float array, C H W n
    size : int
    """
    part = work.reshape(x.shape)
    np.multiply(dy, y, out=part)
    np.divide(part, scale, out=part)
    _neighbours(part, dx, size)
    np.multiply(dx, -2 * ALPHA * BETA, out=dx)
    np.multiply(dx, x, out=dx)
    _power(scale, part)
    np.multiply(dy, part, out=part)
    np.add(dx, part, out=dx)


def _power(scale: Array, out: Array) -> None:
    """``out = scale^-0.75`` as ``1 / (sqrt(s) sqrt(sqrt(s)))``, far cheaper than a power."""
    for one, result in pieces(PIECE, scale, out):
        np.sqrt(one, out=result)
        root = np.sqrt(result)
        np.multiply(result, root, out=result)
        np.divide(1, result, out=result)


def _neighbours(terms: Array, out: Array, size: int) -> None:
    """``out[c]`` = sum of ``terms`` over the channels within ``size // 2`` of ``c``."""
    np.copyto(out, terms)
    for shift in range(1, size // 2 + 1):
        np.add(out[shift:], terms[:-shift], out=out[shift:])
        np.add(out[:-shift], terms[shift:], out=out[:-shift])

"""Sigmoid-weighted linear unit, elementwise, on arrays of any one shape."""

import numpy as np

from runtime.kernels import Array, pieces
from runtime.kernels.sigmoid import forward as sigmoid


def forward(x: Array, y: Array) -> None:
    """``y = x / (1 + exp(-x))``; both of the same shape, ``y`` written."""
    sigmoid(x, y)
    np.multiply(x, y, out=y)


def input_grad(x: Array, dy: Array, dx: Array, work: Array) -> None:
    """``dx = dy s (1 + x (1 - s))`` with the logistic function ``s`` of ``x``.

    ``x``, ``dy`` and ``dx`` (written) have the same shape; ``work`` holds a piece of ``s``.
    """
    for part, gradient, out in pieces(work.size, x, dy, dx):
        s = work[: part.size].reshape(part.shape)
        sigmoid(part, s)
        np.subtract(1, s, out=out)
        np.multiply(part, out, out=out)
        np.add(out, 1, out=out)
        np.multiply(s, out, out=out)
        np.multiply(gradient, out, out=out)

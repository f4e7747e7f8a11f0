"""Gaussian error linear unit in its tanh form, elementwise, on contiguous arrays of one shape."""

from math import pi, sqrt

import numpy as np

from runtime.kernels import Array, pieces

CUBIC = 0.044715
SLOPE = sqrt(2 / pi)
"""``u = SLOPE (x + CUBIC x^3)``. Source: Hendrycks and Gimpel, arXiv:1606.08415, section 2."""


def forward(x: Array, y: Array, work: Array) -> None:
    """``y = x (1 + tanh(u)) / 2``; both of the same shape, ``y`` written."""
    for given, result in pieces(work.size, x, y):
        t = work[: given.size]
        np.multiply(given, given, out=t)
        _tanh(given, t, t)
        np.add(t, 1, out=t)
        np.multiply(t, 0.5, out=t)
        np.multiply(given, t, out=result)


def input_grad(x: Array, dy: Array, dx: Array, work: Array) -> None:
    """``dx = dy (1 + t + x (1 - t^2) u') / 2`` with ``t = tanh(u)``.

    Parameters
    ----------
    x, dy : float array, of one shape
    dx : float array, the same shape, written; not ``dy``
    work : float array, flat
    """
    half = work.size // 2
    for given, gradient, result in pieces(half, x, dy, dx):
        t, square = work[: given.size], work[half : half + given.size]
        np.multiply(given, given, out=square)
        _tanh(given, square, t)
        np.multiply(square, 3 * CUBIC * SLOPE, out=square)
        np.add(square, SLOPE, out=square)
        np.multiply(square, given, out=square)  # x u'
        np.multiply(t, t, out=result)
        np.subtract(1, result, out=result)
        np.multiply(result, square, out=result)
        np.add(result, t, out=result)
        np.add(result, 1, out=result)
        np.multiply(result, 0.5, out=result)
        np.multiply(result, gradient, out=result)


def _tanh(x: Array, square: Array, out: Array) -> None:
    """``out = tanh(u)`` from ``x`` and its square; ``out`` may be the square itself."""
    np.multiply(square, CUBIC * SLOPE, out=out)
    np.add(out, SLOPE, out=out)
    np.multiply(out, x, out=out)
    np.tanh(out, out=out)

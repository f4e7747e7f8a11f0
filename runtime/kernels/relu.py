"""Rectifier, elementwise, on contiguous arrays of any one shape; both phases work in place."""

import numpy as np

from runtime.kernels import Array, pieces


def forward(x: Array, y: Array) -> None:
    """``y = max(x, 0)``; both of the same shape, ``y`` written, ``x`` itself or apart."""
    np.maximum(x, 0, out=y)


def input_grad(y: Array, dy: Array, dx: Array, work: Array) -> None:
    """``dx = dy`` where ``y > 0``, else 0; all of one shape, ``dx`` written, ``dy`` or apart."""
    for above, gradient, result in pieces(work.size, y, dy, dx):
        passes = np.ceil(above, out=work[: above.size])  # y >= 0; np.sign takes twice both
        np.minimum(passes, 1, out=passes)
        np.multiply(gradient, passes, out=result)

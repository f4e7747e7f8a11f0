"""Maximum over square windows that may overlap and reach over the edge.

Letters: C channels, n samples, H x W input, P x Q output.
"""

import numpy as np

from runtime.kernels import Array, overlaps, slabs


def forward(x: Array, y: Array, **how: int) -> None:
    """``y`` = largest of each window of ``x``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y : float array, shape (C, P, Q, n), written
    **how : int
        ``window``, ``stride``, ``pad``, ``ceil`` of ``overlaps``.
    """
    y.fill(-np.inf)
    for source, target, _, _ in overlaps(x, y, **how):
        np.maximum(target, source, out=target)


def input_grad(x: Array, y: Array, dy: Array, dx: Array, work: Array, **how: int) -> None:
    """``dx`` = ``dy`` at the first place of each window that holds its maximum, summed.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y, dy : float array, shape (C, P, Q, n)
    dx : float array, shape (C, H, W, n), written
    work : float array, at least 2 P Q n
    **how : int
        As for ``forward``.
    """
    dx.fill(0)
    half = work.size // 2
    for maps, out, gradient, result in slabs(half, x, y, dy, dx):
        left = work[: out.size].reshape(out.shape)  # what no place has got yet
        np.copyto(left, gradient)
        for source, target, from_x, from_y in overlaps(maps, out, **how):
            given = work[half : half + target.size].reshape(target.shape)
            np.equal(source, target, out=given)
            np.multiply(left[from_y], given, out=given)
            np.add(result[from_x], given, out=result[from_x])
            np.subtract(left[from_y], given, out=left[from_y])

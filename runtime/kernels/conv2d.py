"""Convolution as one matmul over gathered columns; shapes and source in ``planner.layers.conv2d``.

Letters: C input and K output channels, n samples, H x W input, R x S kernel, P x Q output.
"""

import numpy as np

from runtime.kernels import Array


def forward(x: Array, w: Array, b: Array, y: Array, cols: Array, *, stride: int) -> None:
    """Gather columns, then ``y = w cols + b``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    w : float array, shape (K, C, R, S)
    b : float array, shape (K,)
    y : float array, shape (K, P, Q, n), written
    cols : float array, shape (C, R, S, P, Q, n), written
        ``cols[c, i, j, p, q, n] = x[c, p stride + i, q stride + j, n]``, kept for ``weight_grad``.
    stride : int
        Step of the kernel in both directions.
    """
    channel, row, column, sample = x.strides
    # Overlapping view of x: one strided copy beats R * S slice copies and sliding_window_view.
    windows: Array = np.ndarray(
        cols.shape,
        x.dtype,
        buffer=x,
        strides=(channel, row, column, row * stride, column * stride, sample),
    )
    np.copyto(cols, windows)
    maps = y.reshape(len(w), -1, copy=False)
    weights = w.reshape(len(w), -1, copy=False)
    np.dot(weights, cols.reshape(weights.shape[1], -1, copy=False), out=maps)
    np.add(maps, b[:, None], out=maps)


def weight_grad(cols: Array, dy: Array, dw: Array, db: Array) -> None:
    """``dw = dy cols^T`` and ``db`` = sums of ``dy`` over samples and places.

    Parameters
    ----------
    cols : float array, shape (C, R, S, P, Q, n)
        As written by ``forward``.
    dy : float array, shape (K, P, Q, n)
    dw : float array, shape (K, C, R, S), written
    db : float array, shape (K,), written
    """
    maps = dy.reshape(len(dy), -1, copy=False)
    weights = dw.reshape(len(dy), -1, copy=False)
    np.dot(maps, cols.reshape(weights.shape[1], -1, copy=False).T, out=weights)
    np.add.reduce(maps, axis=1, out=db)


def input_grad(dy: Array, w: Array, dx: Array, dcols: Array, *, stride: int) -> None:
    """``dcols = w^T dy``, then every column is added where ``forward`` gathered it (col2im).

    Parameters
    ----------
    dy : float array, shape (K, P, Q, n)
    w : float array, shape (K, C, R, S)
    dx : float array, shape (C, H, W, n), written
    dcols : float array, shape (C, R, S, P, Q, n), workspace
    stride : int
        Step of the kernel in both directions.
    """
    _, kernel_rows, kernel_columns, rows, columns, _ = dcols.shape
    weights = w.reshape(len(w), -1, copy=False)
    np.dot(
        weights.T,
        dy.reshape(len(w), -1, copy=False),
        out=dcols.reshape(weights.shape[1], -1, copy=False),
    )
    dx.fill(0)
    height, width = rows * stride, columns * stride
    for i in range(kernel_rows):
        for j in range(kernel_columns):
            place = dx[:, i : i + height : stride, j : j + width : stride]
            np.add(place, dcols[:, i, j], out=place)

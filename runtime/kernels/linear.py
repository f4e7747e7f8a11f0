"""Fully connected layer, one matmul a phase; n samples, F inputs, G outputs."""

import numpy as np

from runtime.kernels import Array


def forward(x: Array, w: Array, b: Array, y: Array) -> None:
    """``y = x w + b``.

    Parameters
    ----------
    x : float array, shape (n, F)
    w : float array, shape (F, G)
    b : float array, shape (G,)
    y : float array, shape (n, G), written
    """
    np.dot(x, w, out=y)
    np.add(y, b, out=y)


def weight_grad(x: Array, dy: Array, dw: Array, db: Array) -> None:
    """``dw = x^T dy`` and ``db`` = column sums of ``dy``.

    Parameters
    ----------
    x : float array, shape (n, F)
    dy : float array, shape (n, G)
    dw : float array, shape (F, G), written
    db : float array, shape (G,), written
    """
    np.dot(x.T, dy, out=dw)
    np.add.reduce(dy, axis=0, out=db)


def input_grad(dy: Array, w: Array, dx: Array) -> None:
    """``dx = dy w^T``.

    Parameters
    ----------
    dy : float array, shape (n, G)
    w : float array, shape (F, G)
    dx : float array, shape (n, F), written
    """
    np.dot(dy, w.T, out=dx)

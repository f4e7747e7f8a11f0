"""Fully connected layer, one matmul a phase; n samples, or tokens of samples, F inputs, G outputs.

Arrays of tokens, (n, S, F), are taken as n S rows.
"""

import numpy as np

from runtime.kernels import Array, Product


def forward(x: Array, w: Array, b: Array, y: Array) -> None:
    """``y = x w + b``.

    Parameters
    ----------
    x : float array, shape (n, F) or (n, S, F)
    w : float array, shape (F, G)
    b : float array, shape (G,)
    y : float array, shape (n, G) or (n, S, G), written
    """
    np.dot(_rows(x), w, out=_rows(y))
    np.add(y, b, out=y)


def weight_grad(x: Array, dy: Array, dw: Array, db: Array, *, product: Product = np.dot) -> None:
    """``dw = x^T dy`` and ``db`` = column sums of ``dy``.

    Parameters
    ----------
    x : float array, shape (n, F) or (n, S, F)
    dy : float array, shape (n, G) or (n, S, G)
    dw : float array, shape (F, G), written
    db : float array, shape (G,), written
    """
    rows = _rows(dy)
    product(_rows(x).T, rows, out=dw)
    np.add.reduce(rows, axis=0, out=db)


def input_grad(dy: Array, w: Array, dx: Array, *, product: Product = np.dot) -> None:
    """``dx = dy w^T``.

    Parameters
    ----------
    dy : float array, shape (n, G) or (n, S, G)
    w : float array, shape (F, G)
    dx : float array, shape (n, F) or (n, S, F), written
    """
    product(_rows(dy), w.T, out=_rows(dx))


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])

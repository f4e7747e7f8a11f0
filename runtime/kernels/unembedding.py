"""Logits from the table of an embedding; T tokens of F features, V rows of the table.

Where there are biases, ``b`` and ``db`` come after ``w`` and ``dw``.
"""

import numpy as np

from runtime.kernels import Array, Product


def forward(x: Array, w: Array, *rest: Array) -> None:
    """``y = x w^T``, and ``+ b``.

    Parameters
    ----------
    x : float array, shape (n, S, F)
    w : float array, shape (V, F)
    *rest : float arrays
        ``b``, shape (V,), if any, and ``y``, shape (n, S, V), written.
    """
    *biases, y = rest
    np.dot(x.reshape(-1, x.shape[-1]), w.T, out=y.reshape(-1, y.shape[-1]))
    for b in biases:
        np.add(y, b, out=y)


def weight_grad(x: Array, dy: Array, dw: Array, *rest: Array, product: Product = np.dot) -> None:
    """``dw = dy^T x``, and ``db`` = column sums of ``dy``.

    Parameters
    ----------
    x : float array, shape (n, S, F)
    dy : float array, shape (n, S, V)
    dw : float array, shape (V, F), written
    *rest : float arrays
        ``db``, shape (V,), written, if there are biases.
    """
    rows = dy.reshape(-1, dy.shape[-1])
    product(rows.T, x.reshape(-1, x.shape[-1]), out=dw)
    for db in rest:
        np.add.reduce(rows, axis=0, out=db)


def input_grad(dy: Array, w: Array, dx: Array, *, product: Product = np.dot) -> None:
    """``dx = dy w``.

    Parameters
    ----------
    dy : float array, shape (n, S, V)
    w : float array, shape (V, F)
    dx : float array, shape (n, S, F), written
    """
    product(dy.reshape(-1, dy.shape[-1]), w, out=dx.reshape(-1, dx.shape[-1]))

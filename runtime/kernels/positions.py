"""A vector for each position, added; n samples of S tokens of F features, P positions."""

import numpy as np

from runtime.kernels import Array


def forward(x: Array, w: Array, y: Array) -> None:
    """``y[s] = x[s] + w[s]``.

    Parameters
    ----------
    x : float array, shape (n, S, F)
    w : float array, shape (P, F)
    y : float array, shape (n, S, F), written; ``x`` itself or apart
    """
    np.add(x, w[: x.shape[1]], out=y)


def weight_grad(dy: Array, dw: Array) -> None:
    """``dw[s]`` = sum of ``dy[s]`` over the samples, 0 where there are no tokens.

    Parameters
    ----------
    dy : float array, shape (n, S, F)
    dw : float array, shape (P, F), written
    """
    tokens = dy.shape[1]
    np.add.reduce(dy, axis=0, out=dw[:tokens])
    dw[tokens:] = 0

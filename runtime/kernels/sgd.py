"""Stochastic gradient descent with momentum over a flat slice of E parameters."""

import numpy as np

from runtime.kernels import Array


def update(p: Array, g: Array, m: Array, *, learning_rate: float, momentum: float) -> None:
    """``m = momentum m + g``, then ``p -= learning_rate m``; ``g`` is left as scratch.

    Parameters
    ----------
    p, g, m : float array, shape (E,)
        Parameters, gradient and velocity; ``p`` and ``m`` updated, ``g`` overwritten.
    learning_rate, momentum : float

    Notes
    -----
    Source: Sutskever et al., ICML 2013, eq. 1-2, with the velocity scaled by 1 / learning rate.
    """
    np.multiply(m, momentum, out=m)
    np.add(m, g, out=m)
    np.multiply(m, learning_rate, out=g)
    np.subtract(p, g, out=p)

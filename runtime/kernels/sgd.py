"""Stochastic gradient descent with momentum over a flat slice of E parameters."""

import numpy as np

from runtime.kernels import Array
from runtime.kernels.scaling import Floats, unscaled


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


def mixed(
    g: Array,
    scaling: Floats,
    masters: Floats,
    m: Floats,
    p: Array,
    *,
    learning_rate: float,
    momentum: float,
) -> None:
    """``update`` of float32 masters by gradients in halves, and the halves that follow from them.

    Parameters
    ----------
    g : float array, shape (E,)
        Gradients times the scale of the loss.
    scaling : float32 array, shape (4,)
        Of ``planner.precision``; a step that is to be skipped changes nothing.
    masters, m : float32 array, shape (E,), updated
    p : float array, shape (E,), written
        The masters, rounded.
    learning_rate, momentum : float
    """
    for d, w, v, out in unscaled(g, scaling, masters, m, p):
        update(w, d, v, learning_rate=learning_rate, momentum=momentum)
        np.copyto(out, w, casting="same_kind")

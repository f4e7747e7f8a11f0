"""Adam with decoupled weight decay over flat slices of E parameters, a piece at a time."""

from collections.abc import Callable
from math import sqrt

import numpy as np

from planner.opcall import PIECE
from planner.precision import SKIPPED
from runtime.kernels import Array, pieces
from runtime.kernels.scaling import Floats, unscaled


def update(  # noqa: PLR0913, the arguments are the arrays and settings of the op
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    step: Callable[[], int],
) -> None:
    """Update both moments, then ``p``; ``g`` is left as scratch.

    ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g^2``,
    ``p = (1 - lr decay) p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)``.

    Parameters
    ----------
    p, g, exp_avg, exp_avg_sq : float array, shape (E,)
        Parameters, gradient, ``m`` and ``v``; all updated, ``g`` overwritten.
    learning_rate, beta1, beta2, epsilon, weight_decay : float
    step : callable
        Gives the number of updates before this one: ``t - 1``.

    Notes
    -----
    Source: Loshchilov and Hutter, ICLR 2019, algorithm 2; Kingma and Ba, ICLR 2015.
    """
    t = step() + 1
    rate = learning_rate / (1 - beta1**t)
    whole = 1 / sqrt(1 - beta2**t)
    for w, d, m, v in pieces(PIECE, p, g, exp_avg, exp_avg_sq):
        # scaled up, the old moment takes the new term as it is, which saves an array of scratch
        np.multiply(m, beta1 / (1 - beta1), out=m)
        np.add(m, d, out=m)
        np.multiply(m, 1 - beta1, out=m)
        np.multiply(v, beta2 / (1 - beta2), out=v)
        np.multiply(d, d, out=d)
        np.add(v, d, out=v)
        np.multiply(v, 1 - beta2, out=v)
        np.sqrt(v, out=d)
        np.multiply(d, whole, out=d)
        np.add(d, epsilon, out=d)
        np.divide(m, d, out=d)
        np.multiply(d, rate, out=d)
        np.multiply(w, 1 - learning_rate * weight_decay, out=w)
        np.subtract(w, d, out=w)


def mixed(  # noqa: PLR0913, the arguments are the arrays and settings of the op
    g: Array,
    scaling: Floats,
    masters: Floats,
    exp_avg: Floats,
    exp_avg_sq: Floats,
    p: Array,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    step: Callable[[], int],
) -> None:
    """``update`` of float32 masters by gradients in halves, and the halves that follow from them.

    Parameters
    ----------
    g : float array, shape (E,)
        Gradients times the scale of the loss.
    scaling : float32 array, shape (4,)
        Of ``planner.precision``; a step that is to be skipped changes nothing, and does not count.
    masters, exp_avg, exp_avg_sq : float32 array, shape (E,), updated
    p : float array, shape (E,), written
        The masters, rounded.
    learning_rate, beta1, beta2, epsilon, weight_decay, step
        As in ``update``.
    """
    done = step() - int(scaling[SKIPPED])
    for d, w, m, v, out in unscaled(g, scaling, masters, exp_avg, exp_avg_sq, p):
        update(
            w,
            d,
            m,
            v,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            step=lambda: done,
        )
        np.copyto(out, w, casting="same_kind")

"""Normalisation of every token, a slab of tokens at a time; T tokens in all, F features.

``stats`` is (2, T): means, and one over the deviations.
"""

from collections.abc import Iterator

import numpy as np

from runtime.kernels import Array

EPSILON = 1e-5
"""Added to variances. Source: Ba, Kiros and Hinton, 2016; the value is GPT-2's."""


def forward(x: Array, w: Array, b: Array, y: Array, stats: Array, work: Array) -> None:
    """``y = w (x - mean) / deviation + b``.

    Parameters
    ----------
    x : float array, shape (n, S, F) or (n, F)
    w, b : float array, shape (F,)
    y : float array, shape of ``x``, written
    stats : float array, shape (2, n, S) or (2, n), written
    work : float array, at least F
    """
    share = np.full_like(w, 1 / w.size)  # a product with it sums five times as fast as a reduction
    for centred, (mean, inverse), (tokens, out) in _slabs(work, stats, x, y):
        np.dot(tokens, share, out=mean)
        np.subtract(tokens, mean[:, None], out=centred)
        squares = np.einsum("tf,tf->t", centred, centred)
        inverse[:] = 1 / np.sqrt(squares / tokens.shape[1] + EPSILON)
        np.multiply(centred, inverse[:, None], out=centred)
        np.multiply(centred, w, out=centred)
        np.add(centred, b, out=out)


def weight_grad(x: Array, dy: Array, stats: Array, dw: Array, db: Array, work: Array) -> None:
    """``db`` = sums of ``dy``, ``dw`` = sums of ``dy (x - mean) / deviation``.

    Parameters
    ----------
    x, dy : float array, shape (n, S, F) or (n, F)
    stats : float array, as ``forward`` leaves it
    dw, db : float array, shape (F,), written
    work : float array, at least F
    """
    dw.fill(0)
    db.fill(0)
    for scaled, moments, (tokens, gradient) in _slabs(work, stats, x, dy):
        _normalise(tokens, moments, scaled)
        np.multiply(scaled, gradient, out=scaled)
        ones = np.ones_like(moments[0])
        np.add(dw, np.dot(ones, scaled), out=dw)
        np.add(db, np.dot(ones, gradient), out=db)


def input_grad(x: Array, dy: Array, w: Array, stats: Array, dx: Array, work: Array) -> None:
    """``dx = (g - mean g - z mean(g z)) / deviation`` with ``g = w dy`` and ``z`` normalised ``x``.

    Parameters
    ----------
    x, dy : float array, shape (n, S, F) or (n, F)
    w : float array, shape (F,)
    stats : float array, as ``forward`` leaves it
    dx : float array, shape of ``x``, written
    work : float array, at least F
    """
    share = np.full_like(w, 1 / w.size)
    for z, moments, (tokens, gradient, out) in _slabs(work, stats, x, dy, dx):
        _normalise(tokens, moments, z)
        np.multiply(gradient, w, out=out)
        slope = np.einsum("tf,tf->t", out, z) / tokens.shape[1]
        shift = np.dot(out, share)
        np.multiply(z, slope[:, None], out=z)
        np.subtract(out, z, out=out)
        np.subtract(out, shift[:, None], out=out)
        np.multiply(out, moments[1][:, None], out=out)


def _normalise(tokens: Array, moments: Array, out: Array) -> None:
    np.subtract(tokens, moments[0][:, None], out=out)
    np.multiply(out, moments[1][:, None], out=out)


def _slabs(
    work: Array, stats: Array, *arrays: Array
) -> Iterator[tuple[Array, Array, tuple[Array, ...]]]:
    """Yield (workspace, moments (2, t), views (t, F) of each array) of t tokens at a time."""
    features = arrays[0].shape[-1]
    flat = [array.reshape(-1, features) for array in arrays]
    moments = stats.reshape(2, -1)
    step = work.size // features
    for first in range(0, len(flat[0]), step):
        views = tuple(array[first : first + step] for array in flat)
        room = work[: views[0].size].reshape(views[0].shape)
        yield room, moments[:, first : first + step], views

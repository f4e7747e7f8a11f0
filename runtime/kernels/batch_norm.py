"""Batch normalisation of maps over groups of samples, a slab of channels at a time.

Letters: C channels, n samples in n / group groups, H x W places. ``stats`` and ``sums`` are
(2, C, n / group), or one group where n is smaller.
"""

from collections.abc import Iterator

import numpy as np

from runtime.kernels import Array

EPSILON = 1e-5
"""Added to variances. Source: Ioffe and Szegedy, ICML 2015, algorithm 1; the value is cuDNN's."""


def forward(
    x: Array, w: Array, b: Array, y: Array, stats: Array, work: Array, *, group: int
) -> None:
    """``y = w (x - mean) / deviation + b`` with the statistics of each group of samples.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    w, b : float array, shape (C,)
    y : float array, shape (C, H, W, n), written
    stats : float array, shape (2, C, n / group), written
        Means, and one over the deviations.
    work : float array, at least H W samples of a group
    group : int
        Samples of a group.
    """
    for channels, k, (maps, out) in _slabs(work.size, group, x, y):
        count = maps[0].size
        centred = _room(work, maps)
        mu = np.add.reduce(maps, axis=(1, 2)) / count
        np.subtract(maps, mu[:, None, None], out=centred)
        squares = np.einsum("cpg,cpg->c", centred, centred)
        inverse = 1 / np.sqrt(squares / count + EPSILON)
        np.multiply(centred, (w[channels] * inverse)[:, None, None], out=centred)
        np.add(centred, b[channels, None, None], out=out)
        stats[0, channels, k], stats[1, channels, k] = mu, inverse


def weight_grad(  # noqa: PLR0913, the arguments are the tensors of the op
    x: Array, dy: Array, stats: Array, dw: Array, db: Array, sums: Array, work: Array, *, group: int
) -> None:
    """``db`` = sums of ``dy``, ``dw`` = sums of ``dy (x - mean) / deviation``.

    Parameters
    ----------
    x, dy : float array, shape (C, H, W, n)
    stats : float array, shape (2, C, n / group)
    dw, db : float array, shape (C,), written
    sums : float array, shape (2, C, n / group), written
        The same for each group: ``db``'s, then ``dw``'s.
    work : float array
        As for ``forward``.
    group : int
    """
    for channels, k, (maps, gradient) in _slabs(work.size, group, x, dy):
        centred = np.subtract(maps, stats[0, channels, k, None, None], out=_room(work, maps))
        sums[0, channels, k] = np.add.reduce(gradient, axis=(1, 2))
        sums[1, channels, k] = np.einsum("cpg,cpg->c", centred, gradient) * stats[1, channels, k]
    np.add.reduce(sums[0], axis=1, out=db)
    np.add.reduce(sums[1], axis=1, out=dw)


def input_grad(  # noqa: PLR0913, the arguments are the tensors of the op
    x: Array, dy: Array, w: Array, stats: Array, sums: Array, dx: Array, work: Array, *, group: int
) -> None:
    """``dx = a (dy - c - (x - mean) d)``, ``c`` and ``d`` the means from ``sums``.

    Parameters
    ----------
    x, dy : float array, shape (C, H, W, n)
    w : float array, shape (C,)
    stats, sums : float array, shape (2, C, n / group)
    dx : float array, shape (C, H, W, n), written
    work : float array
        As for ``forward``.
    group : int

    Notes
    -----
    Source: Ioffe and Szegedy, ICML 2015, section 3, with the sums over a group collected.
    """
    for channels, k, (maps, gradient, out) in _slabs(work.size, group, x, dy, dx):
        mu, inverse = stats[0, channels, k], stats[1, channels, k]
        count = maps[0].size
        slope = sums[1, channels, k] * inverse / count
        scale = w[channels] * inverse
        # (dy - c) - (x - mean) d, with all that is one number a channel collected first
        shift = sums[0, channels, k] / count - mu * slope
        part = np.multiply(maps, slope[:, None, None], out=_room(work, maps))
        np.add(part, shift[:, None, None], out=part)
        np.subtract(gradient, part, out=part)
        np.multiply(part, scale[:, None, None], out=out)


def _slabs(size: int, group: int, *arrays: Array) -> Iterator[tuple[slice, int, tuple[Array, ...]]]:
    """Yield (channels, group, views (channels, H W, samples of the group) of each array)."""
    maps = [a.reshape(len(a), -1, a.shape[3]) for a in arrays]
    count, places, samples = maps[0].shape
    together = min(group, samples)
    step = max(1, size // (places * together))
    for first in range(0, count, step):
        channels = slice(first, min(count, first + step))
        for k in range(samples // together):
            one = slice(k * together, (k + 1) * together)
            yield channels, k, tuple(m[channels, :, one] for m in maps)


def _room(work: Array, maps: Array) -> Array:
    """Return workspace in the shape of ``maps``, the end of it."""
    return work[work.size - maps.size :].reshape(maps.shape)

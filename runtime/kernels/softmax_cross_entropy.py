"""Softmax, cross-entropy and its gradient in one pass over the logits; n samples, L classes."""

import numpy as np
import numpy.typing as npt

from planner.opcall import PIECE
from planner.precision import SCALE
from runtime.kernels import Array
from runtime.kernels.scaling import Floats

ROWS = 4096
"""Rows of logits at a time, so that indices and row sums stay below half a mebibyte."""

Labels = npt.NDArray[np.int64]
Stats = npt.NDArray[np.float64]


def forward(x: Array, labels: Labels, dx: Array, stats: Stats, *, batch: int) -> None:
    """``dx = (softmax(x) - onehot(labels)) / batch`` and ``stats = (loss / batch, hits)``.

    The sum runs over the n samples given, the division is by the global ``batch``: so the stats and
    gradients of all ranks and microbatches of a step add up to those of the batch. Where a sample
    has several labels, as tokens are, their mean counts.

    Parameters
    ----------
    x : float array, shape (n, L) or (n, S, L)
        Logits.
    labels : int64 array, shape (n,) or (n, S)
        Right class of each sample, or of each of its tokens.
    dx : float array, shape of ``x``, written
    stats : float64 array, shape (2,), written
        Sum of the losses over ``batch``, and labels whose largest logit is right (the first of
        equal ones counts).
    batch : int
        Samples of the whole step.

    Notes
    -----
    The largest logit is subtracted before ``exp``, so no logit overflows. Indices and row sums take
    about 100 bytes a row outside the arguments.
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 4.1.
    """
    stats.fill(0)
    _add(x, labels, dx, stats, batch)


def scaled_forward(
    x: Array, labels: Labels, scaling: Floats, dx: Array, stats: Stats, *, batch: int
) -> None:
    """``forward`` with the gradient times the scale of the loss; ``stats`` without it.

    ``scaling`` is a float32 array, shape (4,), of ``planner.precision``; others as in ``forward``.
    """
    stats.fill(0)
    _add(x, labels, dx, stats, batch, float(scaling[SCALE]))


def heads(*arrays: npt.NDArray[np.generic], batch: int) -> None:
    """``forward`` for several heads: the loss of a sample is the sum of theirs.

    Parameters
    ----------
    *arrays : arrays
        Logits of each head as in ``forward``; labels, int64, shape (n, labels of all heads), head
        after head; gradients of the logits, written; ``stats``, written.
    batch : int
        As in ``forward``.
    """
    _add_heads(arrays, batch, 1.0)


def scaled_heads(*arrays: npt.NDArray[np.generic], batch: int) -> None:
    """``heads`` with gradients times the scale of the loss; ``scaling`` comes after the labels."""
    place = (len(arrays) - 3) // 2 + 1
    scale = float(arrays[place][SCALE])
    _add_heads((*arrays[:place], *arrays[place + 1 :]), batch, scale)


def _add_heads(arrays: tuple[npt.NDArray[np.generic], ...], batch: int, scale: float) -> None:
    count = (len(arrays) - 2) // 2
    labels: Labels = arrays[count]  # type: ignore[assignment]
    stats: Stats = arrays[-1]  # type: ignore[assignment]
    stats.fill(0)
    first = 0
    for x, dx in zip(arrays[:count], arrays[count + 1 : -1], strict=True):
        each = x.size // (len(x) * x.shape[-1])
        part = labels[:, first : first + each]
        _add(x, part, dx, stats, batch, scale)  # type: ignore[arg-type]
        first += each


def _add(x: Array, labels: Labels, dx: Array, stats: Stats, batch: int, scale: float = 1.0) -> None:
    """Write the gradient of one head's logits, add its loss and hits to ``stats``."""
    logits, gradient = (array.reshape(-1, array.shape[-1]) for array in (x, dx))
    share = batch * (len(logits) // len(x))
    flat, is_half = labels.reshape(-1), x.dtype.itemsize == 2
    most = max(1, PIECE // logits.shape[1]) if is_half else ROWS
    for at in range(0, len(logits), most):
        of = slice(at, at + most)
        if is_half:  # halves hold neither a sum of many nor a small share
            wide = logits[of].astype(np.float32)
            _rows(wide, flat[of], wide, stats, share)
            np.multiply(wide, scale, out=wide)
            np.copyto(gradient[of], wide, casting="same_kind")
        else:
            _rows(logits[of], flat[of], gradient[of], stats, share)
            if scale != 1:
                np.multiply(gradient[of], scale, out=gradient[of])


def _rows(x: Array, labels: Labels, dx: Array, stats: Stats, share: int) -> None:
    """Do some rows of logits; a row counts 1 / ``share``."""
    rows = np.arange(len(x))
    guesses = x.argmax(axis=1)
    np.subtract(x, x[rows, guesses][:, None], out=dx)
    right = dx[rows, labels]
    np.exp(dx, out=dx)
    total = np.add.reduce(dx, axis=1)
    losses = np.log(total)
    np.subtract(losses, right, out=losses)
    stats[0] += losses.sum(dtype=np.float64) / share
    stats[1] += np.count_nonzero(guesses == labels)
    np.multiply(total, share, out=total)
    np.divide(dx, total[:, None], out=dx)
    dx[rows, labels] -= 1 / share

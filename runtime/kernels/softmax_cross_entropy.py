"""Softmax, cross-entropy and its gradient in one pass over the logits; n samples, L classes."""

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array


def forward(
    x: Array,
    labels: npt.NDArray[np.int64],
    dx: Array,
    stats: npt.NDArray[np.float64],
    *,
    batch: int,
) -> None:
    """``dx = (softmax(x) - onehot(labels)) / batch`` and ``stats = (loss / batch, hits)``.

    The sum runs over the n samples given, the division is by the global ``batch``: so the stats and
    gradients of all ranks and microbatches of a step add up to those of the batch.

    Parameters
    ----------
    x : float array, shape (n, L)
        Logits.
    labels : int64 array, shape (n,)
        Right class of each sample.
    dx : float array, shape (n, L), written
    stats : float64 array, shape (2,), written
        Sum of the losses over ``batch``, and samples whose largest logit is right (the first of
        equal ones counts).
    batch : int
        Samples of the whole step.

    Notes
    -----
    The largest logit is subtracted before ``exp``, so no logit overflows. Indices and row sums take
    about 100 bytes a sample outside the arguments.
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 4.1.
    """
    rows = np.arange(len(x))
    guesses = x.argmax(axis=1)
    np.subtract(x, x[rows, guesses][:, None], out=dx)
    right = dx[rows, labels]
    np.exp(dx, out=dx)
    total = np.add.reduce(dx, axis=1)
    losses = np.log(total)
    np.subtract(losses, right, out=losses)
    stats[0] = losses.sum(dtype=np.float64) / batch
    stats[1] = np.count_nonzero(guesses == labels)
    np.multiply(total, batch, out=total)
    np.divide(dx, total[:, None], out=dx)
    dx[rows, labels] -= 1 / batch

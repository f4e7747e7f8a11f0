"""Records from the file to inputs and labels: one read, one decode."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array

FULL_SCALE = 16  # largest pixel of a record: scikit-learn's digits count 4x4 bits, 0-16

Bytes = npt.NDArray[np.uint8]


def records(
    x: Array,
    labels: npt.NDArray[np.int64],
    raw: Bytes,
    *,
    height: int,
    width: int,
    fetch: Callable[[Bytes], object],
) -> None:
    """Let ``fetch`` fill ``raw``; decode it to pixels of 0-1 at the model's size and labels.

    Parameters
    ----------
    x : float array, shape (n, height width) or (C, H, W, n), written
        In the second form every pixel is repeated H / height by W / width times in every channel.
    labels : int64 array, shape (n,), written
    raw : uint8 array, shape (n, 1 + height width), written by ``fetch``
        Records: a label byte, then the pixels by rows, 0 to ``FULL_SCALE``.
    height, width : int
        Size of the sample in a record; they divide H and W.
    fetch : callable
        Reads the next records into the array that it is given.
    """
    fetch(raw)
    np.copyto(labels, raw[:, 0])
    pixels = raw[:, 1:]
    if x.ndim == 2:
        np.copyto(x, pixels)
    else:
        channels, rows, columns, samples = x.shape
        split = (channels, height, rows // height, width, columns // width, samples)
        images = pixels.T.reshape(height, 1, width, 1, samples, copy=False)
        # Copies inside x would be faster by a third, but NumPy makes temporaries for them.
        np.copyto(x.reshape(split, copy=False), images)
    np.multiply(x, 1 / FULL_SCALE, out=x)


def tokens(
    x: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    raw: Bytes,
    *,
    item_bytes: int,
    shifted: int,
    fetch: Callable[[Bytes], object],
) -> None:
    """Let ``fetch`` fill ``raw``; decode it to numbers of tokens and labels.

    Parameters
    ----------
    x : int64 array, shape (n, I), written
    labels : int64 array, shape (n,) or (n, L), written
    raw : uint8 array, shape (n, record), written by ``fetch``
        Records of little-endian numbers of ``item_bytes``: labels and then inputs, or where
        ``shifted`` is 1 (with L = I) tokens and one more, the label of each being the next.
    item_bytes, shifted : int
    fetch : callable
        Reads the next records into the array that it is given.
    """
    fetch(raw)
    numbers = raw.view(f"<u{item_bytes}")
    targets = labels.reshape(len(labels), -1)
    if shifted:
        np.copyto(targets, numbers[:, 1:])
        np.copyto(x, numbers[:, :-1])
    else:
        np.copyto(targets, numbers[:, : targets.shape[1]])
        np.copyto(x, numbers[:, targets.shape[1] :])

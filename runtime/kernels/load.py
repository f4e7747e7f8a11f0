"""Records from the file to inputs and labels: one read, one decode."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array

Bytes = npt.NDArray[np.uint8]


def records(  # noqa: PLR0913, the arguments are the tensors and attributes of the op
    x: Array,
    labels: npt.NDArray[np.int64],
    raw: Bytes,
    *,
    channels: int = 1,
    height: int = 1,
    width: int,
    full_scale: int,
    fetch: Callable[[Bytes], object],
) -> None:
    """Let ``fetch`` fill ``raw``; decode it to values of 0-1 at the model's size and labels.

    Parameters
    ----------
    x : float array, shape (n, channels height width) or (C, H, W, n), written
        In the second form every value is repeated C / channels by H / height by W / width times.
    labels : int64 array, shape (n,), written
    raw : uint8 array, shape (n, 1 or 2 + channels height width), written by ``fetch``
        Records: a label of one or two bytes, the lower first, then the sample.
    channels, height, width : int
        Size of the sample in a record; they divide C, H and W.
    full_scale : int
        Byte that stands for 1.
    fetch : callable
        Reads the next records into the array that it is given.
    """
    fetch(raw)
    start = raw.shape[1] - channels * height * width
    np.copyto(labels, raw[:, 0])
    if start == 2:
        labels += 256 * raw[:, 1].astype(np.int64)
    sample = raw[:, start:]
    if x.ndim == 2:
        np.copyto(x, sample)
    else:
        deep, rows, columns, n = x.shape
        repeats = (deep // channels, rows // height, columns // width)
        split = (channels, repeats[0], height, repeats[1], width, repeats[2], n)
        images = sample.T.reshape(channels, 1, height, 1, width, 1, n, copy=False)
        # Copies inside x would be faster by a third, but NumPy makes temporaries for them.
        np.copyto(x.reshape(split, copy=False), images)
    np.multiply(x, 1 / full_scale, out=x)


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

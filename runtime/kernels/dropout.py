"""Dropout of vectors and maps; both phases work in place, a piece at a time.

A sample's mask is a stream of splitmix64 that starts from seed, step, op and the sample's place in
the global batch: so it is the same on every plan, and no state is kept. Each word of 64 bits serves
four elements. Source: Steele, Lea and Flood, OOPSLA 2014; the constants of the mixing are
Stafford's variant 13, as in Java 8.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from planner.layers.dropout import LANES
from planner.opcall import PIECE
from runtime.kernels import Array, Stream, pieces

GAMMA = 0x9E3779B97F4A7C15  # odd integer nearest to 2^64 over the golden ratio
LANE_VALUES = 1 << 16

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.uint8]


def forward(
    x: Array,
    y: Array,
    mask: Mask,
    work: npt.NDArray[np.int64],
    *,
    percent: int,
    stream: Callable[[], Stream],
) -> None:
    """``y = x / (1 - percent / 100)`` where the mask keeps it, else 0.

    Parameters
    ----------
    x : float array, shape (n, ...) or (C, H, W, n)
    y : float array, shape of ``x``, written; ``x`` itself or apart
    mask : uint8 array, shape of ``x``, written
        1 where an element is kept.
    work : int64 array, shape (2, k)
    percent : int
        Share that is dropped, below 100.
    stream : callable
    """
    samples = x.shape[-1] if x.ndim == 4 else len(x)
    kept = mask.view(np.bool_)
    by_sample = kept.reshape(-1, samples).T if x.ndim == 4 else kept.reshape(samples, -1)
    draw(by_sample, _dropped(percent), stream(), work.view(np.uint64))
    _apply(x, mask, y, percent)


def input_grad(mask: Mask, dy: Array, dx: Array, *, percent: int) -> None:
    """``dx`` from ``dy`` as ``y`` from ``x``; all of one shape, ``dx`` written, ``dy`` or apart."""
    _apply(dy, mask, dx, percent)


def _dropped(percent: int) -> int:
    """Values of a lane that drop an element."""
    return round(percent / 100 * LANE_VALUES)


def _apply(x: Array, mask: Mask, y: Array, percent: int) -> None:
    scale = LANE_VALUES / (LANE_VALUES - _dropped(percent))
    for part, kept, out in pieces(PIECE, x, mask.view(np.bool_), y):
        np.multiply(part, kept, out=out)
        np.multiply(out, scale, out=out)


def draw(kept: npt.NDArray[np.bool_], dropped: int, stream: Stream, work: Words) -> None:
    """Draw which elements of each sample are kept: those whose lane is not below ``dropped``.

    Parameters
    ----------
    kept : bool array, shape (samples, elements), written; of any strides
    dropped : int
        Of ``LANE_VALUES``.
    stream : Stream
    work : uint64 array, shape (2, k)
    """
    samples, elements = kept.shape
    keys = sample_keys(stream, samples)
    words, room = -(-elements // LANES), work.shape[1]
    columns = min(words, room)
    rows = room // columns
    for i in range(0, samples, rows):
        key = keys[i : i + rows, None]
        for j in range(0, words, columns):
            counter = np.arange(j + 1, min(words, j + columns) + 1, dtype=np.uint64) * GAMMA
            size = len(key) * len(counter)
            word, scratch = (w[:size].reshape(len(key), len(counter)) for w in work)
            np.add(key, counter, out=word)
            mix(word, scratch)
            out = kept[i : i + rows, LANES * j : LANES * (j + columns)]
            np.greater_equal(word.view(np.uint16)[:, : out.shape[1]], dropped, out=out)


def sample_keys(stream: Stream, samples: int) -> Words:
    """Return where the stream of each sample starts."""
    keys = np.full(samples, stream.seed, np.uint64)
    scratch = np.empty_like(keys)
    places = np.arange(stream.first, stream.first + samples, dtype=np.uint64)
    for part in (stream.step, stream.op, places):
        mix(keys, scratch)
        np.add(keys, part, out=keys)
    mix(keys, scratch)
    return keys


def mix(words: Words, scratch: Words) -> None:
    """Mix each word in place: the output function of splitmix64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(words, shift, out=scratch)
        np.bitwise_xor(words, scratch, out=words)
        np.multiply(words, factor, out=words)
    np.right_shift(words, 31, out=scratch)
    np.bitwise_xor(words, scratch, out=words)

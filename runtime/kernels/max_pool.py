"""Maximum over square windows that may overlap and reach over the edge.

Letters: C channels, n samples, H x W input, P x Q output.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np

from runtime.kernels import Array, _vectors, overlaps
from runtime.kernels._direct import BLOCKS
from runtime.kernels._vectors import DType, lanes
from sim.arrays.compiled import cached, compiled, type_of, with_parts


def forward(x: Array, y: Array, **how: int) -> None:
    """``y`` = largest of each window of ``x``.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y : float array, shape (C, P, Q, n), written
    **how : int
        ``window``, ``stride``, ``pad``, ``ceil`` of ``overlaps``.
    """
    y.fill(-np.inf)
    for source, target, _, _ in overlaps(x, y, **how):
        np.maximum(target, source, out=target)


def input_grad(x: Array, y: Array, dy: Array, dx: Array, work: Array, **how: int) -> None:
    """``dx`` = ``dy`` at the first place of each window that holds its maximum, summed.

    Parameters
    ----------
    x : float array, shape (C, H, W, n)
    y, dy : float array, shape (C, P, Q, n)
    dx : float array, shape (C, H, W, n), written
    work : float array, n
    **how : int
        As for ``forward``.
    """
    window, pad = how["window"], how.get("pad", 0)
    _routed(x.dtype)(x, y, dy, dx, work, window, how.get("stride", 0) or window, pad)


@cache
def _routed(dtype: DType) -> Callable[..., None]:
    """Return ``_route`` compiled for a dtype.

    As NumPy operations, five passes for each place of a window took five times as long, and five
    times as long as PyTorch, which keeps where each maximum was.
    """
    maps, row = type_of(np.empty((1,) * 4, dtype)), type_of(np.empty(1, dtype))
    sizes = (type_of(1),) * 3
    few, vector = compiled(_give), _vectors.routed(dtype)
    parts = with_parts(_route, LANES=lanes(dtype), _few=few, _vector=vector)
    return cached(maps, maps, maps, maps, row, *sizes, of=BLOCKS)(parts)


LANES = 1
_few = _vector = cast("Any", None)
"""Named by the code below, which is compiled with others in their place."""


def _route(  # noqa: PLR0913, the arguments are the tensors and attributes of the op
    x: Array, y: Array, dy: Array, dx: Array, left: Array, window: int, step: int, pad: int
) -> None:
    """Write ``dx`` map by map, so that a map is still near when windows add to it.

    Samples that fill no vector take turns at a place; ``left`` is what none has got yet.
    """
    channels, height, width, samples = x.shape
    _, rows, columns, _ = y.shape
    whole = samples // LANES * LANES
    for c in range(channels):
        for h in range(height):
            for v in range(width):
                for k in range(samples):
                    dx[c, h, v, k] = 0
        for p in range(rows):
            top, bottom = max(0, p * step - pad), min(height, p * step - pad + window)
            for q in range(columns):
                near, far = max(0, q * step - pad), min(width, q * step - pad + window)
                x_at = ((c * height + top) * width + near) * samples
                y_at = ((c * rows + p) * columns + q) * samples
                places = (bottom - top, far - near, width * samples, samples)
                for k in range(0, whole, LANES):
                    _vector(x, y, dy, dx, (x_at + k, y_at + k), places)
                if whole < samples:
                    _few(x, y, dy, dx, left, (c, p, q), (top, bottom), (near, far), whole)


Pair = tuple[int, int]


def _give(  # noqa: PLR0913
    x: Array,
    y: Array,
    dy: Array,
    dx: Array,
    left: Array,
    at: tuple[int, int, int],
    high: Pair,
    wide: Pair,
    first: int,
) -> None:
    """Add ``dy`` at ``at`` to the places of its window, for samples from ``first`` on."""
    c, p, q = at
    for k in range(first, len(left)):
        left[k] = dy[c, p, q, k]
    for h in range(high[0], high[1]):
        for v in range(wide[0], wide[1]):
            for k in range(first, len(left)):
                rest = left[k]
                given = rest if x[c, h, v, k] == y[c, p, q, k] else rest - rest
                dx[c, h, v, k] += given
                left[k] = rest - given

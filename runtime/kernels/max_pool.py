"""Maximum over square windows that may overlap and reach over the edge.

Letters: C channels, n samples, H x W input, P x Q output.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from runtime.kernels import Array, overlaps
from sim.arrays.compiled import cached, type_of


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
    dx.fill(0)
    _routed(x.dtype)(x, y, dy, dx, work, window, how.get("stride", 0) or window, pad)


@cache
def _routed(dtype: "np.dtype[np.floating[Any]]") -> Callable[..., None]:
    """Return ``_route`` compiled for a dtype.

    As NumPy operations, five passes for each place of a window took five times as long, and five
    times as long as PyTorch, which keeps where each maximum was.
    """
    maps, row = type_of(np.empty((1,) * 4, dtype)), type_of(np.empty(1, dtype))
    sizes = (type_of(1),) * 3
    return cached(maps, maps, maps, maps, row, *sizes)(_route)


def _route(  # noqa: PLR0913, the arguments are the tensors and attributes of the op
    x: Array, y: Array, dy: Array, dx: Array, left: Array, window: int, step: int, pad: int
) -> None:
    """Add ``dy`` of every window to ``dx``; ``left`` is what no place of the window has got yet."""
    channels, height, width, samples = x.shape
    _, rows, columns, _ = y.shape
    for c in range(channels):
        for p in range(rows):
            for q in range(columns):
                for k in range(samples):
                    left[k] = dy[c, p, q, k]
                for h in range(max(0, p * step - pad), min(height, p * step - pad + window)):
                    for v in range(max(0, q * step - pad), min(width, q * step - pad + window)):
                        for k in range(samples):
                            rest = left[k]
                            given = rest if x[c, h, v, k] == y[c, p, q, k] else rest - rest
                            dx[c, h, v, k] += given
                            left[k] = rest - given

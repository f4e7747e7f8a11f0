"""Arrays one after the other along the channels of maps, or the features of others."""

from collections.abc import Iterator

import numpy as np

from runtime.kernels import Array


def forward(*arrays: Array) -> None:
    """Copy every input to its place in ``y``.

    Parameters
    ----------
    *arrays : float arrays
        The inputs, (C_i, H, W, n), (n, F_i) or (n, S, F_i), then ``y``, written.
    """
    *inputs, y = arrays
    for x, place in _places(inputs, y):
        np.copyto(place, x)


def input_grad(dy: Array, *results: Array) -> None:
    """Copy the places of ``dy`` to the gradients of the inputs, which are written."""
    for dx, place in _places(results, dy):
        np.copyto(dx, place)


def _places(
    parts: "list[Array] | tuple[Array, ...]", whole: Array
) -> Iterator[tuple[Array, Array]]:
    """Yield each part with its view of ``whole``."""
    axis = 0 if whole.ndim == 4 else -1
    first = 0
    for part in parts:
        end = first + part.shape[axis]
        yield part, whole[first:end] if axis == 0 else whole[..., first:end]
        first = end

"""Arrays one after the other along channels or features; as ``runtime.kernels.concat``."""

from collections.abc import Iterator, Sequence
from typing import Any

from runtime.cuda.engine import engine


def forward(*arrays: Any) -> None:
    """Copy every input to its place in the last array."""
    *inputs, y = arrays
    for x, place in _places(inputs, y):
        engine().copy(x, place)


def input_grad(dy: Any, *results: Any) -> None:
    """Copy the places of ``dy`` to the gradients of the inputs."""
    for dx, place in _places(results, dy):
        engine().copy(place, dx)


def _places(parts: Sequence[Any], whole: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each part with its view of ``whole``, both in the order of memory."""
    first = 0
    for part in parts:
        if whole.ndim == 4:
            end = first + part.shape[0]
            yield part.transpose(3, 1, 2, 0), whole[first:end].transpose(3, 1, 2, 0)
        else:
            end = first + part.shape[-1]
            yield part, whole[..., first:end]
        first = end

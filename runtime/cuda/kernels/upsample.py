"""Maps enlarged by a whole factor; as ``runtime.kernels.upsample``, in the order of memory here."""

from collections.abc import Iterator
from itertools import product
from typing import Any


def forward(x: Any, y: Any, *, factor: int) -> None:
    """Repeat every place ``factor`` times along both sides."""
    for repeat in _repeats(y, factor):
        repeat[...] = x.transpose(3, 1, 2, 0)


def input_grad(dy: Any, dx: Any, *, factor: int) -> None:
    """Add up the places of ``dy`` that repeat one of ``x``, row by row."""
    first, *others = _repeats(dy, factor)
    total = dx.transpose(3, 1, 2, 0)
    total[...] = first
    for repeat in others:
        total += repeat


def _repeats(maps: Any, factor: int) -> Iterator[Any]:
    """Yield the views of enlarged maps."""
    laid = maps.transpose(3, 1, 2, 0)
    for row, column in product(range(factor), repeat=2):
        yield laid[:, row::factor, column::factor]

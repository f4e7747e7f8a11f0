"""How arrays lie in the memory of a device: the shapes of the op calls, another order of axes.

Maps (C, H, W, n) lie as (n, H, W, C), weights (K, C, R, S) as (K, R, S, C): what tensor cores take.
All else is C-contiguous. The shape is what kernels and plans speak of, so both backends have the
same signatures, registers and offsets.
"""

from typing import Any

from planner.opcall import Tensor

WEIGHTS = ("w", "dw")
MAPS_ORDER, WEIGHTS_ORDER = (3, 1, 2, 0), (0, 2, 3, 1)
"""Axes of the shape in the order of memory, the slowest first."""


def order(tensor: Tensor) -> tuple[int, ...]:
    """Return the axes of a tensor in the order of memory.

    >>> order(Tensor(name="dy", shape=(8, 5, 5, 2), dtype="float32"))
    (3, 1, 2, 0)
    """
    rank = len(tensor.shape)
    if rank != len(MAPS_ORDER):
        return tuple(range(rank))
    return WEIGHTS_ORDER if tensor.name in WEIGHTS else MAPS_ORDER


def maps(x: Any) -> Any:
    """Return maps in the order of memory, (n, H, W, C)."""
    return x.transpose(*MAPS_ORDER)


def weights(w: Any) -> Any:
    """Return weights in the order of memory, (K, R, S, C)."""
    return w.transpose(*WEIGHTS_ORDER)

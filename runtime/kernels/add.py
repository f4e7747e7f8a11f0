"""Sum of two flat arrays: the reducing half of exchanges and of gradient accumulation."""

import numpy as np

from runtime.kernels import Array


def accumulate(other: Array, total: Array) -> None:
    """``total += other``; both of shape (E,), ``total`` updated."""
    np.add(total, other, out=total)

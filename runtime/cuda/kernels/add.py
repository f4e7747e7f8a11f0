"""Sums of arrays; arguments as in ``runtime.kernels.add``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_SUM = each(
    "add", "const T* x, const T* other, T* y", "y[i] = T(A(x[i]) + A(other[i]));", packs=True
)


def forward(*arrays: Any) -> None:
    """Write the sum of all arrays but the last into the last."""
    first, second, *others, y = arrays
    run(_SUM, first, second, y, size=y.size)
    for other in others:
        run(_SUM, y, other, y, size=y.size)


def accumulate(other: Any, total: Any) -> None:
    """``total += other``."""
    run(_SUM, total, other, total, size=total.size)

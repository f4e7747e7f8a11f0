"""Gradient descent with momentum, one pass; arguments as in ``runtime.kernels.sgd``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_UPDATE = each(
    "sgd",
    "T* p, const T* g, T* m, A rate, A momentum",
    "const A v = momentum * A(m[i]) + A(g[i]); m[i] = T(v); p[i] = T(A(p[i]) - rate * v);",
)


def update(p: Any, g: Any, m: Any, *, learning_rate: float, momentum: float) -> None:
    """``m = momentum m + g``, then ``p -= learning_rate m``; ``g`` stays."""
    run(_UPDATE, p, g, m, learning_rate, momentum, size=p.size)

"""Rectifier; arguments as in ``runtime.kernels.relu``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_FORWARD = each(
    "relu", "const T* x, T* y", "const A a = A(x[i]); y[i] = a > 0 ? x[i] : T(0);", packs=True
)
_GRADIENT = each(
    "relu_grad", "const T* y, const T* dy, T* dx", "dx[i] = A(y[i]) > 0 ? dy[i] : T(0);", packs=True
)


def forward(x: Any, y: Any) -> None:
    """``y = max(x, 0)``, in place or apart."""
    run(_FORWARD, x, y, size=x.size)


def input_grad(y: Any, dy: Any, dx: Any) -> None:
    """``dx = dy`` where ``y > 0``, else 0."""
    run(_GRADIENT, y, dy, dx, size=dy.size)

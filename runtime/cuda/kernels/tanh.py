"""Hyperbolic tangent; arguments as in ``runtime.kernels.tanh``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_FORWARD = each("tanh_of", "const T* x, T* y", "y[i] = T(tanh(A(x[i])));", packs=True)
_GRADIENT = each(
    "tanh_grad",
    "const T* y, const T* dy, T* dx",
    "const A t = A(y[i]); dx[i] = T(A(dy[i]) * (1 - t * t));",
    packs=True,
)


def forward(x: Any, y: Any) -> None:
    """``y = tanh(x)``."""
    run(_FORWARD, x, y, size=x.size)


def input_grad(y: Any, dy: Any, dx: Any) -> None:
    """``dx = dy (1 - y^2)``."""
    run(_GRADIENT, y, dy, dx, size=dy.size)

"""Logistic function; arguments as in ``runtime.kernels.sigmoid``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_FORWARD = each("sigmoid", "const T* x, T* y", "y[i] = T(1 / (1 + exp(-A(x[i]))));", packs=True)
_GRADIENT = each(
    "sigmoid_grad",
    "const T* y, const T* dy, T* dx",
    "const A s = A(y[i]); dx[i] = T(A(dy[i]) * s * (1 - s));",
    packs=True,
)


def forward(x: Any, y: Any) -> None:
    """``y = 1 / (1 + exp(-x))``; an exponential that overflows gives the 0 it should."""
    run(_FORWARD, x, y, size=x.size)


def input_grad(y: Any, dy: Any, dx: Any) -> None:
    """``dx = dy y (1 - y)``."""
    run(_GRADIENT, y, dy, dx, size=dy.size)

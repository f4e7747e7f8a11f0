"""Sigmoid-weighted linear unit; arguments as in ``runtime.kernels.silu``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_FORWARD = each(
    "silu", "const T* x, T* y", "const A a = A(x[i]); y[i] = T(a / (1 + exp(-a)));", packs=True
)
_GRADIENT = each(
    "silu_grad",
    "const T* x, const T* dy, T* dx",
    "const A a = A(x[i]), s = 1 / (1 + exp(-a)); dx[i] = T(A(dy[i]) * s * (1 + a * (1 - s)));",
    packs=True,
)


def forward(x: Any, y: Any) -> None:
    """``y = x / (1 + exp(-x))``."""
    run(_FORWARD, x, y, size=x.size)


def input_grad(x: Any, dy: Any, dx: Any, work: Any) -> None:
    """``dx = dy s (1 + x (1 - s))`` with the logistic function ``s`` of ``x``."""
    del work
    run(_GRADIENT, x, dy, dx, size=dy.size)

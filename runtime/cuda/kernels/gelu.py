"""Gaussian error linear unit in its tanh form; arguments as in ``runtime.kernels.gelu``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each
from runtime.kernels.gelu import CUBIC, SLOPE

_TANH = f"const A a = A(x[i]), t = tanh(A({SLOPE!r}) * (a + A({CUBIC!r}) * a * a * a));"
_FORWARD = each("gelu", "const T* x, T* y", f"{_TANH} y[i] = T(a * (1 + t) / 2);", packs=True)
_GRADIENT = each(
    "gelu_grad",
    "const T* x, const T* dy, T* dx",
    f"{_TANH} const A slope = A({SLOPE!r}) * (1 + A({3 * CUBIC!r}) * a * a);"
    " dx[i] = T(A(dy[i]) * (1 + t + a * (1 - t * t) * slope) / 2);",
    packs=True,
)


def forward(x: Any, y: Any, work: Any) -> None:
    """``y = x (1 + tanh(u)) / 2``."""
    del work
    run(_FORWARD, x, y, size=x.size)


def input_grad(x: Any, dy: Any, dx: Any, work: Any) -> None:
    """``dx = dy (1 + t + x (1 - t^2) u') / 2`` with ``t = tanh(u)``."""
    del work
    run(_GRADIENT, x, dy, dx, size=dy.size)

"""Local response normalisation; arguments as in ``runtime.kernels.lrn``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each
from runtime.kernels.lrn import ALPHA, BETA, K

_WINDOW = """
    const long long c = i % channels, low = c < reach ? -c : -reach;
    const long long high = channels - 1 - c < reach ? channels - 1 - c : reach;
"""
_FORWARD = each(
    "lrn",
    "const T* x, T* y, T* scale, long long channels, long long reach",
    f"""
    {_WINDOW}
    A sum = 0;
    for (long long k = low; k <= high; k++) sum += A(x[i + k]) * A(x[i + k]);
    const A s = A({K!r}) + A({ALPHA!r}) * sum;
    scale[i] = T(s);
    y[i] = T(A(x[i]) / (sqrt(s) * sqrt(sqrt(s))));
    """,
)
_GRADIENT = each(
    "lrn_grad",
    "const T* x, const T* y, const T* scale, const T* dy, T* dx, long long channels,"
    " long long reach",
    f"""
    {_WINDOW}
    A sum = 0;
    for (long long k = low; k <= high; k++)
        sum += A(dy[i + k]) * A(y[i + k]) * (1 / A(scale[i + k]));  // no slow division of zeros
    const A s = A(scale[i]);
    dx[i] = T(A(dy[i]) * (1 / (sqrt(s) * sqrt(sqrt(s)))) - A({2 * ALPHA * BETA!r}) * A(x[i]) * sum);
    """,
)


def forward(x: Any, y: Any, scale: Any, *, size: int = 5) -> None:
    """``y = x scale^-beta`` with ``scale = k + alpha`` times the sum of ``size`` squares."""
    run(_FORWARD, x, y, scale, len(x), size // 2, size=x.size)


def input_grad(x: Any, y: Any, scale: Any, dy: Any, dx: Any, work: Any, *, size: int = 5) -> None:
    """``dx`` as ``runtime.kernels.lrn`` defines it."""
    del work
    run(_GRADIENT, x, y, scale, dy, dx, len(x), size // 2, size=x.size)

"""Average over square windows; arguments as in ``runtime.kernels.avg_pool``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.kernels.max_pool import INPUT, OUTPUT, SIZES, sizes
from runtime.cuda.text import each

_FORWARD = each(
    "avg_pool",
    f"const T* x, T* y, {SIZES}",
    f"""
    {OUTPUT}
    A sum = 0;
    for (long long h = h0; h < h1; h++)
        for (long long v = v0; v < v1; v++)
            sum += A(x[((n * height + h) * width + v) * channels + c]);
    y[i] = T(sum / A(window * window));
    """,
)
_GRADIENT = each(
    "avg_pool_grad",
    f"const T* dy, T* dx, {SIZES}",
    f"""
    {INPUT}
    A sum = 0;
    for (long long p = p0; p <= p1; p++)
        for (long long q = q0; q <= q1; q++)
            sum += A(dy[((n * rows + p) * columns + q) * channels + c]);
    dx[i] = T(sum / A(window * window));
    """,
)


def forward(x: Any, y: Any, **how: int) -> None:
    """``y`` = mean of each window of ``x``, zeros of the border counted."""
    run(_FORWARD, x, y, *sizes(x, y, **how), size=y.size)


def input_grad(dy: Any, dx: Any, **how: int) -> None:
    """``dx`` = ``dy / window^2`` added to each place of its window, 0 elsewhere."""
    run(_GRADIENT, dy, dx, *sizes(dx, dy, **how), size=dx.size)

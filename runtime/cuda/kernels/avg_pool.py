"""Average over square windows; arguments as in ``runtime.kernels.avg_pool``."""

from typing import Any

from runtime.cuda.engine import run_rows
from runtime.cuda.kernels.max_pool import ALL, INPUT, OUTPUT, SIZES, outer, pack, sizes
from runtime.cuda.text import each

_FORWARD = each(
    "avg_pool",
    f"const T* x, T* y, {SIZES}",
    f"""
    {OUTPUT}
    A sum[PACK];
    {ALL} sum[k] = 0;
    for (long long h = h0; h < h1; h++)
        for (long long v = v0; v < v1; v++) {{
            {pack("a", "x", "((n * height + h) * width + v) * channels + c")}
            {ALL} sum[k] += A(a.v[k]);
        }}
    {outer("T(sum[k] / A(window * window))", "y")}
    """,
    by_pack=True,
)
_GRADIENT = each(
    "avg_pool_grad",
    f"const T* dy, T* dx, {SIZES}",
    f"""
    {INPUT}
    A sum[PACK];
    {ALL} sum[k] = 0;
    for (long long p = p0; p <= p1; p++)
        for (long long q = q0; q <= q1; q++) {{
            {pack("given", "dy", "((n * rows + p) * columns + q) * channels + c")}
            {ALL} sum[k] += A(given.v[k]);
        }}
    {outer("T(sum[k] / A(window * window))", "dx")}
    """,
    by_pack=True,
)


def forward(x: Any, y: Any, **how: int) -> None:
    """``y`` = mean of each window of ``x``, zeros of the border counted."""
    run_rows(_FORWARD, x, y, *sizes(x, y, **how), length=len(x), size=y.size)


def input_grad(dy: Any, dx: Any, **how: int) -> None:
    """``dx`` = ``dy / window^2`` added to each place of its window, 0 elsewhere."""
    run_rows(_GRADIENT, dy, dx, *sizes(dx, dy, **how), length=len(dx), size=dx.size)

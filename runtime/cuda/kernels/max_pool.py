"""Maximum over square windows; arguments as in ``runtime.kernels.max_pool``.

The gradient is gathered: each place asks the windows that have it whether it is their first
maximum.
"""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

SIZES = (
    "long long channels, long long height, long long width, long long rows, long long columns,"
    " long long window, long long stride, long long pad"
)
OUTPUT = """
    const long long c = i % channels, q = i / channels % columns;
    const long long p = i / channels / columns % rows, n = i / channels / columns / rows;
    const long long top = p * stride - pad, left = q * stride - pad;
    const long long h0 = top < 0 ? 0 : top, h1 = top + window < height ? top + window : height;
    const long long v0 = left < 0 ? 0 : left, v1 = left + window < width ? left + window : width;
"""
"""The place of output ``i`` and the inputs of its window: rows h0 to h1, columns v0 to v1."""
INPUT = """
    const long long c = i % channels, v = i / channels % width;
    const long long h = i / channels / width % height, n = i / channels / width / height;
    const long long p0 = h + pad < window ? 0 : (h + pad - window) / stride + 1;
    const long long q0 = v + pad < window ? 0 : (v + pad - window) / stride + 1;
    const long long p1 = (h + pad) / stride < rows - 1 ? (h + pad) / stride : rows - 1;
    const long long q1 = (v + pad) / stride < columns - 1 ? (v + pad) / stride : columns - 1;
"""
"""The place of input ``i`` and the windows that have it: p0 to p1, q0 to q1, last ones too."""
_FORWARD = each(
    "max_pool",
    f"const T* x, T* y, {SIZES}",
    f"""
    {OUTPUT}
    A top_value = -INFINITY;
    for (long long h = h0; h < h1; h++)
        for (long long v = v0; v < v1; v++) {{
            const A a = A(x[((n * height + h) * width + v) * channels + c]);
            if (a > top_value) top_value = a;
        }}
    y[i] = T(top_value);
    """,
)
_GRADIENT = each(
    "max_pool_grad",
    f"const T* x, const T* y, const T* dy, T* dx, {SIZES}",
    f"""
    {INPUT}
    const A mine = A(x[i]);
    A sum = 0;
    for (long long p = p0; p <= p1; p++)
        for (long long q = q0; q <= q1; q++) {{
            const long long out = ((n * rows + p) * columns + q) * channels + c;
            if (A(y[out]) != mine) continue;
            bool is_first = true;
            const long long top = p * stride - pad, left = q * stride - pad;
            for (long long a = top < 0 ? 0 : top; a <= h && is_first; a++) {{
                const long long far = left + window < width ? left + window : width;
                const long long end = a == h ? v : far;
                for (long long b = left < 0 ? 0 : left; b < end && is_first; b++)
                    is_first = A(x[((n * height + a) * width + b) * channels + c]) != mine;
            }}
            if (is_first) sum += A(dy[out]);
        }}
    dx[i] = T(sum);
    """,
)


def forward(x: Any, y: Any, **how: int) -> None:
    """``y`` = largest of each window of ``x``."""
    run(_FORWARD, x, y, *sizes(x, y, **how), size=y.size)


def input_grad(x: Any, y: Any, dy: Any, dx: Any, work: Any, **how: int) -> None:
    """``dx`` = ``dy`` at the first place of each window that holds its maximum, summed."""
    del work
    run(_GRADIENT, x, y, dy, dx, *sizes(x, y, **how), size=x.size)


def sizes(
    x: Any, y: Any, *, window: int, stride: int = 0, pad: int = 0, ceil: int = 0
) -> tuple[int, ...]:
    """Return what ``SIZES`` names."""
    del ceil  # it shows in the shape of y
    return (*x.shape[:3], *y.shape[1:3], window, stride or window, pad)

"""Maps enlarged by a whole factor; as ``runtime.kernels.upsample``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_SIZES = "long long high, long long wide, long long channels, long long factor"
_FORWARD = each(
    "upsample",
    f"const T* x, T* y, {_SIZES}",
    """
    const long long c = i % channels, v = i / channels % (wide * factor);
    const long long row = i / channels / (wide * factor), h = row % (high * factor);
    const long long n = row / (high * factor);
    y[i] = x[((n * high + h / factor) * wide + v / factor) * channels + c];
    """,
)
_BACK = each(
    "upsample_back",
    f"const T* dy, T* dx, {_SIZES}",
    """
    const long long c = i % channels, v = i / channels % wide, row = i / channels / wide;
    A sum = 0;
    for (long long r = 0; r < factor; r++)
        for (long long s = 0; s < factor; s++)
            sum += A(dy[((row * factor + r) * wide * factor + v * factor + s) * channels + c]);
    dx[i] = T(sum);
    """,
)


def forward(x: Any, y: Any, *, factor: int) -> None:
    """Repeat every place ``factor`` times along both sides."""
    run(_FORWARD, x, y, *_sizes(x), factor, size=y.size)


def input_grad(dy: Any, dx: Any, *, factor: int) -> None:
    """Add up the places of ``dy`` that repeat one of ``x``, row by row."""
    run(_BACK, dy, dx, *_sizes(dx), factor, size=dx.size)


def _sizes(x: Any) -> tuple[int, int, int]:
    """Return height, width and channels of maps (C, H, W, n)."""
    return x.shape[1], x.shape[2], x.shape[0]

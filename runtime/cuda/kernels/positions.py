"""A vector for each position, added; arguments as in ``runtime.kernels.positions``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_FORWARD = each(
    "positions",
    "const T* x, const T* w, T* y, long long block",
    "y[i] = T(A(x[i]) + A(w[i % block]));",
    packs=True,
)
_GRADIENT = each(
    "positions_grad",
    "const T* dy, T* dw, long long samples, long long block",
    """
    A sum = 0;
    if (i < block) for (long long n = 0; n < samples; n++) sum += A(dy[n * block + i]);
    dw[i] = T(sum);
    """,
)


def forward(x: Any, w: Any, y: Any) -> None:
    """``y[s] = x[s] + w[s]``, in place or apart."""
    run(_FORWARD, x, w, y, x.size // len(x), size=x.size)


def weight_grad(dy: Any, dw: Any) -> None:
    """``dw[s]`` = sum of ``dy[s]`` over the samples, 0 where there are no tokens."""
    run(_GRADIENT, dy, dw, len(dy), dy.size // len(dy), size=dw.size)

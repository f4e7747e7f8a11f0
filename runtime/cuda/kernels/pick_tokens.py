"""Tokens at given positions; arguments as in ``runtime.kernels.pick_tokens``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_SIZES = (
    "long long features, long long picked, long long tokens, long long numbers, long long first"
)
_PLACE = """
    long long at = x1[n * numbers + first + m];
    at = at < 0 ? 0 : at < tokens ? at : tokens - 1;
"""
_FORWARD = each(
    "pick_tokens",
    f"const T* x0, T* y, const long long* x1, {_SIZES}",
    f"""
    const long long n = i / features / picked, m = i / features % picked;
    {_PLACE}
    y[i] = x0[(n * tokens + at) * features + i % features];
    """,
)
_GRADIENT = each(
    "pick_tokens_grad",
    f"const T* dy, T* dx0, const long long* x1, {_SIZES}",
    f"""
    const long long n = i / features / tokens, s = i / features % tokens;
    A sum = 0;
    for (long long m = 0; m < picked; m++) {{
        {_PLACE}
        if (at == s) sum += A(dy[(n * picked + m) * features + i % features]);
    }}
    dx0[i] = T(sum);
    """,
)


def forward(x0: Any, x1: Any, y: Any, *, first: int) -> None:
    """``y[m] = x0[x1[first + m]]``."""
    sizes = (y.shape[2], y.shape[1], x0.shape[1], x1.shape[1], first)
    run(_FORWARD, x0, y, x1, *sizes, size=y.size)


def input_grad(x1: Any, dy: Any, dx0: Any, *, first: int) -> None:
    """Zeros, and ``dy[m]`` added at the position it was picked from."""
    sizes = (dy.shape[2], dy.shape[1], dx0.shape[1], x1.shape[1], first)
    run(_GRADIENT, dy, dx0, x1, *sizes, size=dx0.size)

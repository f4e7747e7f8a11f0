"""Maps scaled channel by channel; arguments as in ``runtime.kernels.gate``."""

from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_FACTOR = "const A factor = A(x1[i / (places * channels) * channels + i % channels]);"
_SIZES = "long long places, long long channels"
_FORWARD = each(
    "gate", f"const T* x0, const T* x1, T* y, {_SIZES}", f"{_FACTOR} y[i] = T(A(x0[i]) * factor);"
)
_SUMS = each(
    "gate_sums",
    f"const T* y, const T* x1, const T* dy, T* dx1, {_SIZES}",
    """
    const long long sample = i / channels, channel = i % channels;
    A total = 0;
    for (long long k = 0; k < places; k++) {
        const long long at = (sample * places + k) * channels + channel;
        total += A(y[at]) * A(dy[at]);
    }
    dx1[i] = T(total / A(x1[i]));
    """,
)


def forward(x0: Any, x1: Any, y: Any) -> None:
    """``y = x0 x1``, in place or apart."""
    channels, height, width, _ = x0.shape
    run(_FORWARD, x0, x1, y, height * width, channels, size=x0.size)


def input_grad(y: Any, x1: Any, dy: Any, dx0: Any, dx1: Any) -> None:
    """``dx1`` = sums of ``dy y / x1``, then ``dx0 = dy x1``."""
    channels, height, width, _ = y.shape
    run(_SUMS, y, x1, dy, dx1, height * width, channels, size=x1.size)
    run(_FORWARD, dy, x1, dx0, height * width, channels, size=dy.size)

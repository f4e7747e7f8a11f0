"""Dropout with the masks of ``runtime.kernels.dropout``, bit for bit; arguments as there."""

from collections.abc import Callable
from typing import Any

from planner.layers.dropout import LANES
from runtime.cuda.engine import run
from runtime.cuda.text import each
from runtime.kernels import Stream
from runtime.kernels.dropout import GAMMA, LANE_VALUES

_MIX = """
__device__ inline unsigned long long mix(unsigned long long v) {
    v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9ull;
    v = (v ^ (v >> 27)) * 0x94D049BB133111EBull;
    return v ^ (v >> 31);
}
"""
_FORWARD = each(
    "dropout",
    "const T* x, T* y, unsigned char* mask, A scale, long long dropped, long long seed,"
    " long long step, long long op, long long first, long long each_sample, long long channels",
    f"""
    const long long sample = i / each_sample, r = i % each_sample;
    // numbers are drawn channel by channel, maps lie with their channels innermost
    const long long e = r % channels * (each_sample / channels) + r / channels;
    unsigned long long key = mix((unsigned long long)seed) + (unsigned long long)step;
    key = mix(mix(key) + (unsigned long long)op) + (unsigned long long)(first + sample);
    key = mix(key) + (unsigned long long)(e / {LANES} + 1) * {GAMMA}ull;
    const bool kept = (long long)(mix(key) >> (16 * (e % {LANES})) & 0xFFFF) >= dropped;
    mask[i] = kept;
    y[i] = T(kept ? A(x[i]) * scale : A(0));
    """,
    _MIX,
    is_wide=True,
)
_GRADIENT = each(
    "dropout_grad",
    "const T* dy, T* dx, const unsigned char* mask, A scale",
    "dx[i] = T(mask[i] ? A(dy[i]) * scale : A(0));",
    packs=True,
)


def forward(
    x: Any, y: Any, mask: Any, work: Any, *, percent: int, stream: Callable[[], Stream]
) -> None:
    """``y = x / (1 - percent / 100)`` where the mask keeps it, else 0."""
    del work
    samples, channels = (x.shape[3], x.shape[0]) if x.ndim == 4 else (len(x), 1)
    dropped, scale = _dropped(percent)
    run(_FORWARD, x, y, mask, scale, dropped, *stream(), x.size // samples, channels, size=x.size)


def input_grad(mask: Any, dy: Any, dx: Any, *, percent: int) -> None:
    """``dx`` from ``dy`` as ``y`` from ``x``."""
    run(_GRADIENT, dy, dx, mask, _dropped(percent)[1], size=dy.size)


def _dropped(percent: int) -> tuple[int, float]:
    """Return the values of a lane that drop an element, and what the others are scaled by."""
    dropped = round(percent / 100 * LANE_VALUES)
    return dropped, LANE_VALUES / (LANE_VALUES - dropped)

"""Adam with decoupled weight decay, one pass; arguments as in ``runtime.kernels.adamw``."""

from collections.abc import Callable
from math import sqrt
from typing import Any

from runtime.cuda.engine import run
from runtime.cuda.text import each

_UPDATE = each(
    "adamw",
    "T* p, const T* g, T* exp_avg, T* exp_avg_sq, A kept, A rate, A beta1, A beta2, A whole,"
    " A epsilon",
    """
    const A d = A(g[i]), m = beta1 * A(exp_avg[i]) + (1 - beta1) * d;
    const A v = beta2 * A(exp_avg_sq[i]) + (1 - beta2) * d * d;
    exp_avg[i] = T(m);
    exp_avg_sq[i] = T(v);
    p[i] = T(kept * A(p[i]) - rate * m / (sqrt(v) * whole + epsilon));
    """,
)


def update(  # noqa: PLR0913 - the arguments are the arrays and settings of the op
    p: Any,
    g: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    step: Callable[[], int],
) -> None:
    """Update both moments, then ``p``; ``g`` stays."""
    t = step() + 1
    kept, rate = 1 - learning_rate * weight_decay, learning_rate / (1 - beta1**t)
    whole = 1 / sqrt(1 - beta2**t)
    run(_UPDATE, p, g, exp_avg, exp_avg_sq, kept, rate, beta1, beta2, whole, epsilon, size=p.size)

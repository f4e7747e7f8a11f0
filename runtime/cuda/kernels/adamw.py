"""Adam with decoupled weight decay, one pass; arguments as in ``runtime.kernels.adamw``."""

from collections.abc import Callable
from math import log, sqrt
from typing import Any

from planner.precision import INVERSE, SKIPPED
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
    packs=True,
)
_MIXED = each(
    "adamw_mixed",
    "const T* g, const A* scaling, A* masters, A* exp_avg, A* exp_avg_sq, T* p, A kept,"
    " A learning_rate, A beta1, A beta2, A log_beta1, A log_beta2, A count, A epsilon",
    f"""
    const A inverse = scaling[{INVERSE}], t = count - scaling[{SKIPPED}];
    if (inverse != A(0)) {{
        const A d = A(g[i]) * inverse, m = beta1 * exp_avg[i] + (1 - beta1) * d;
        const A v = beta2 * exp_avg_sq[i] + (1 - beta2) * d * d;
        const A rate = learning_rate / -expm1(t * log_beta1);
        const A root = sqrt(v / -expm1(t * log_beta2));
        const A w = kept * masters[i] - rate * m / (root + epsilon);
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        masters[i] = w;
        p[i] = T(w);
    }}
    """,
    packs=True,
)
"""Which steps were skipped the device alone knows, so it corrects for the start by itself."""
LEAST = 1e-300
"""Stands for a share of 0, which has no logarithm."""


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


def mixed(  # noqa: PLR0913 - the arguments are the arrays and settings of the op
    g: Any,
    scaling: Any,
    masters: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    p: Any,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    step: Callable[[], int],
) -> None:
    """``update`` of the masters, and the halves that follow; nothing where it is to be skipped."""
    kept, count = 1 - learning_rate * weight_decay, float(step() + 1)
    logs = (log(max(beta, LEAST)) for beta in (beta1, beta2))
    numbers = (kept, learning_rate, beta1, beta2, *logs, count, epsilon)
    run(_MIXED, g, scaling, masters, exp_avg, exp_avg_sq, p, *numbers, size=g.size)

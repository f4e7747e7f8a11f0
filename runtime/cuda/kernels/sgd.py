"""Gradient descent with momentum, one pass; arguments as in ``runtime.kernels.sgd``."""

from typing import Any

from planner.precision import INVERSE
from runtime.cuda.engine import run
from runtime.cuda.text import each

_UPDATE = each(
    "sgd",
    "T* p, const T* g, T* m, A rate, A momentum",
    "const A v = momentum * A(m[i]) + A(g[i]); m[i] = T(v); p[i] = T(A(p[i]) - rate * v);",
    packs=True,
)
_MIXED = each(
    "sgd_mixed",
    "const T* g, const A* scaling, A* masters, A* m, T* p, A rate, A momentum",
    f"""
    const A inverse = scaling[{INVERSE}];
    if (inverse != A(0)) {{
        const A v = momentum * m[i] + A(g[i]) * inverse, w = masters[i] - rate * v;
        m[i] = v;
        masters[i] = w;
        p[i] = T(w);
    }}
    """,
    packs=True,
)


def update(p: Any, g: Any, m: Any, *, learning_rate: float, momentum: float) -> None:
    """``m = momentum m + g``, then ``p -= learning_rate m``; ``g`` stays."""
    run(_UPDATE, p, g, m, learning_rate, momentum, size=p.size)


def mixed(
    g: Any,
    scaling: Any,
    masters: Any,
    m: Any,
    p: Any,
    *,
    learning_rate: float,
    momentum: float,
) -> None:
    """``update`` of the masters, and the halves that follow; nothing where it is to be skipped."""
    run(_MIXED, g, scaling, masters, m, p, learning_rate, momentum, size=g.size)

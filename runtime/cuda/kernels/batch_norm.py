"""Batch normalisation over groups of samples; arguments as in ``runtime.kernels.batch_norm``.

The samples of a group lie one after the other, so its rows (places of samples) do. Variances are of
values less the group's first, in one pass with the means.
"""

from typing import Any

from runtime.cuda.columns import finish, over, reduce, run_over, terms
from runtime.cuda.engine import run
from runtime.cuda.text import each
from runtime.kernels.batch_norm import EPSILON

_FIRST = "A(x[group * rows * columns + column])"
_OF_GROUP = "A({0}[column * groups + group])"
_BESIDE = "A({0}[(columns + column) * groups + group])"
"""The second of a pair of a group's numbers by column."""
_MEAN, _INVERSE = _OF_GROUP.format("stats"), _BESIDE.format("stats")
_MOMENTS = terms(
    "batch_norm_terms",
    "const T* x",
    "A(x[at]) - origin",
    "(A(x[at]) - origin) * (A(x[at]) - origin)",
    {"origin": _FIRST},
)
_STATS = finish(
    "batch_norm_stats",
    "const T* x, T* stats, long long rows",
    f"""
    const A shift_of_mean = u / rows, variance = v / rows - shift_of_mean * shift_of_mean;
    stats[column * groups + group] = T({_FIRST} + shift_of_mean);
    stats[(columns + column) * groups + group] =
        T(1 / sqrt((variance > 0 ? variance : A(0)) + A({EPSILON!r})));
    """,
)
_APPLY = over(
    "batch_norm",
    "const T* x, const T* w, const T* b, const T* stats, T* y",
    {"mean": _MEAN, "factor": f"{_INVERSE} * A(w[column])", "level": "A(b[column])"},
    "y[at] = T((A(x[at]) - mean) * factor + level);",
)
_TERMS = terms(
    "batch_norm_grad_terms",
    "const T* x, const T* dy, const T* stats",
    "A(dy[at])",
    "A(dy[at]) * (A(x[at]) - mean) * inverse",
    {"mean": _MEAN, "inverse": _INVERSE},
)
_SUMS = finish(
    "batch_norm_grad_sums",
    "T* sums",
    "sums[column * groups + group] = T(u); sums[(columns + column) * groups + group] = T(v);",
)
_TOTALS = each(
    "batch_norm_totals",
    "const T* sums, T* dw, T* db, long long groups",
    """
    A u = 0, v = 0;
    for (long long k = 0; k < groups; k++) {
        u += A(sums[i * groups + k]);
        v += A(sums[(size + i) * groups + k]);
    }
    db[i] = T(u);
    dw[i] = T(v);
    """,
)
_INPUT = over(
    "batch_norm_grad",
    "const T* x, const T* dy, const T* w, const T* stats, const T* sums, T* dx",
    {
        "mean": _MEAN,
        "level": f"{_OF_GROUP.format('sums')} / A(rows)",
        "slope": f"{_BESIDE.format('sums')} * {_INVERSE} / A(rows)",
        "factor": f"A(w[column]) * {_INVERSE}",
    },
    "dx[at] = T((A(dy[at]) - level - (A(x[at]) - mean) * slope) * factor);",
)


def forward(x: Any, w: Any, b: Any, y: Any, stats: Any, work: Any, *, group: int) -> None:
    """``y = w (x - mean) / deviation + b`` with the statistics of each group of samples."""
    del work
    rows, columns, groups = _shape(x, group)
    how = {"rows": rows, "columns": columns, "groups": groups}
    reduce(_MOMENTS, (x,), _STATS, (x, stats, rows), **how)
    run_over(_APPLY, x, w, b, stats, y, **how)


def weight_grad(  # noqa: PLR0913 - the arguments are the tensors of the op
    x: Any, dy: Any, stats: Any, dw: Any, db: Any, sums: Any, work: Any, *, group: int
) -> None:
    """``db`` = sums of ``dy``, ``dw`` = sums of ``dy (x - mean) / deviation``."""
    del work
    rows, columns, groups = _shape(x, group)
    how = {"rows": rows, "columns": columns, "groups": groups}
    reduce(_TERMS, (x, dy, stats), _SUMS, (sums,), **how)
    run(_TOTALS, sums, dw, db, groups, size=columns)


def input_grad(  # noqa: PLR0913 - the arguments are the tensors of the op
    x: Any, dy: Any, w: Any, stats: Any, sums: Any, dx: Any, work: Any, *, group: int
) -> None:
    """``dx = a (dy - c - (x - mean) d)``, ``c`` and ``d`` the means from ``sums``."""
    del work
    rows, columns, groups = _shape(x, group)
    run_over(_INPUT, x, dy, w, stats, sums, dx, rows=rows, columns=columns, groups=groups)


def _shape(x: Any, group: int) -> tuple[int, int, int]:
    """Return the rows of a group, the columns and the groups."""
    channels, height, width, samples = x.shape
    together = min(group, samples)
    return height * width * together, channels, samples // together

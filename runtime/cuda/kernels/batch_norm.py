"""Batch normalisation over groups of samples; arguments as in ``runtime.kernels.batch_norm``.

The samples of a group lie one after the other, so its rows (places of samples) do. Variances are of
values less the group's first, in one pass with the means.
"""

from typing import Any

from runtime.cuda.columns import finish, reduce, terms
from runtime.cuda.engine import run
from runtime.cuda.text import each
from runtime.kernels.batch_norm import EPSILON

_FIRST = "A(x[group * rows * columns + column])"
_MOMENTS = terms(
    "batch_norm_terms",
    "const T* x",
    f"A(x[at]) - {_FIRST}",
    f"(A(x[at]) - {_FIRST}) * (A(x[at]) - {_FIRST})",
)
_STATS = finish(
    "batch_norm_stats",
    "const T* x, T* stats, long long rows",
    f"""
    const A shift = u / rows, variance = v / rows - shift * shift;
    stats[column * groups + group] = T({_FIRST} + shift);
    stats[(columns + column) * groups + group] =
        T(1 / sqrt((variance > 0 ? variance : A(0)) + A({EPSILON!r})));
    """,
)
_SIZES = "long long each_group, long long columns, long long groups"
_PLACE = """
    const long long column = i % columns, group = i / each_group;
    const A mean = A(stats[column * groups + group]);
    const A inverse = A(stats[(columns + column) * groups + group]);
"""
_APPLY = each(
    "batch_norm",
    f"const T* x, const T* w, const T* b, const T* stats, T* y, {_SIZES}",
    f"{_PLACE} y[i] = T((A(x[i]) - mean) * inverse * A(w[column]) + A(b[column]));",
)
_TERMS = terms(
    "batch_norm_grad_terms",
    "const T* x, const T* dy, const T* stats",
    "A(dy[at])",
    "A(dy[at]) * (A(x[at]) - A(stats[column * groups + group]))"
    " * A(stats[(columns + column) * groups + group])",
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
_INPUT = each(
    "batch_norm_grad",
    f"const T* x, const T* dy, const T* w, const T* stats, const T* sums, T* dx, {_SIZES}",
    f"""
    {_PLACE}
    const A count = A(each_group / columns);
    const A level = A(sums[column * groups + group]) / count;
    const A slope = A(sums[(columns + column) * groups + group]) * inverse / count;
    const A given = A(dy[i]) - level - (A(x[i]) - mean) * slope;
    dx[i] = T(given * A(w[column]) * inverse);
    """,
)


def forward(x: Any, w: Any, b: Any, y: Any, stats: Any, work: Any, *, group: int) -> None:
    """``y = w (x - mean) / deviation + b`` with the statistics of each group of samples."""
    del work
    rows, columns, groups = _shape(x, group)
    how = {"rows": rows, "columns": columns, "groups": groups}
    reduce(_MOMENTS, (x,), _STATS, (x, stats, rows), **how)
    run(_APPLY, x, w, b, stats, y, rows * columns, columns, groups, size=x.size)


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
    run(_INPUT, x, dy, w, stats, sums, dx, rows * columns, columns, groups, size=x.size)


def _shape(x: Any, group: int) -> tuple[int, int, int]:
    """Return the rows of a group, the columns and the groups."""
    channels, height, width, samples = x.shape
    together = min(group, samples)
    return height * width * together, channels, samples // together

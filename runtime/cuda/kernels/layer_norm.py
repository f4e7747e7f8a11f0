"""Normalisation of every token, a block a token; arguments as in ``runtime.kernels.layer_norm``."""

from typing import Any

from runtime.cuda.columns import finish, reduce, terms
from runtime.cuda.engine import dtype_of, engine
from runtime.cuda.text import SUM, THREADS, Text
from runtime.kernels.layer_norm import EPSILON

_FORWARD = Text(
    name="layer_norm",
    parameters="const T* x, const T* w, const T* b, T* y, T* stats, long long features,"
    " long long tokens",
    helpers=SUM,
    body=f"""
    __shared__ A room[{THREADS}];
    for (long long t = blockIdx.x; t < tokens; t += gridDim.x) {{
        const T* row = x + t * features;
        A sum = 0;
        for (long long f = threadIdx.x; f < features; f += blockDim.x) sum += A(row[f]);
        const A mean = block_sum(sum, room) / features;
        A squares = 0;
        for (long long f = threadIdx.x; f < features; f += blockDim.x)
            squares += (A(row[f]) - mean) * (A(row[f]) - mean);
        const A inverse = 1 / sqrt(block_sum(squares, room) / features + A({EPSILON!r}));
        for (long long f = threadIdx.x; f < features; f += blockDim.x)
            y[t * features + f] = T((A(row[f]) - mean) * inverse * A(w[f]) + A(b[f]));
        if (threadIdx.x == 0) {{ stats[t] = T(mean); stats[tokens + t] = T(inverse); }}
    }}
    """,
)
_INPUT = Text(
    name="layer_norm_grad",
    parameters="const T* x, const T* dy, const T* w, const T* stats, T* dx, long long features,"
    " long long tokens",
    helpers=SUM,
    body=f"""
    __shared__ A room[{THREADS}];
    for (long long t = blockIdx.x; t < tokens; t += gridDim.x) {{
        const long long at = t * features;
        const A mean = A(stats[t]), inverse = A(stats[tokens + t]);
        A slope = 0, shift = 0;
        for (long long f = threadIdx.x; f < features; f += blockDim.x) {{
            const A g = A(dy[at + f]) * A(w[f]);
            slope += g * (A(x[at + f]) - mean) * inverse;
            shift += g;
        }}
        slope = block_sum(slope, room) / features;
        shift = block_sum(shift, room) / features;
        for (long long f = threadIdx.x; f < features; f += blockDim.x) {{
            const A z = (A(x[at + f]) - mean) * inverse;
            dx[at + f] = T((A(dy[at + f]) * A(w[f]) - shift - z * slope) * inverse);
        }}
    }}
    """,
)
_TERMS = terms(
    "layer_norm_terms",
    "const T* x, const T* dy, const T* stats",
    "A(dy[at])",
    "A(dy[at]) * (A(x[at]) - A(stats[row])) * A(stats[groups * rows + row])",
)
_WRITE = finish("layer_norm_sums", "T* dw, T* db", "db[i] = T(u); dw[i] = T(v);")


def forward(x: Any, w: Any, b: Any, y: Any, stats: Any) -> None:
    """``y = w (x - mean) / deviation + b``."""
    _tokens(_FORWARD, x, w, b, y, stats)


def weight_grad(x: Any, dy: Any, stats: Any, dw: Any, db: Any) -> None:
    """``db`` = sums of ``dy``, ``dw`` = sums of ``dy (x - mean) / deviation``."""
    features = x.shape[-1]
    how = {"rows": x.size // features, "columns": features}
    reduce(_TERMS, (x, dy, stats), _WRITE, (dw, db), **how)


def input_grad(x: Any, dy: Any, w: Any, stats: Any, dx: Any) -> None:
    """``dx = (g - mean g - z mean(g z)) / deviation`` with ``g = w dy``, ``z`` normalised ``x``."""
    _tokens(_INPUT, x, dy, w, stats, dx)


def _tokens(text: Text, *arrays: Any) -> None:
    features = arrays[0].shape[-1]
    tokens = arrays[0].size // features
    engine().launch(text, dtype_of(arrays[0]), tokens, *arrays, features, tokens)

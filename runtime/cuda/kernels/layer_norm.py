"""Normalisation of tokens, some of them a block; as ``runtime.kernels.layer_norm``."""

from typing import Any

from runtime.cuda.columns import finish, reduce, terms
from runtime.cuda.engine import dtype_of, engine, fitting
from runtime.cuda.text import THREADS, Text, packed
from runtime.kernels.layer_norm import EPSILON

LANES = 32
"""Threads of a token, at most; a block does as many tokens as it has such groups."""
_SUM = """
__device__ inline A row_sum(A value, A* room, unsigned lanes) {
    const unsigned lane = threadIdx.x % lanes;
    room[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = lanes / 2; half; half /= 2) {
        if (lane < half) room[threadIdx.x] += room[threadIdx.x + half];
        __syncthreads();
    }
    const A total = room[threadIdx.x - lane];
    __syncthreads();
    return total;
}
"""
_PACKS = "for (long long f = lane * PACK; f < features; f += lanes * PACK)"
_ALL = "for (int k = 0; k < PACK; k++)"


def _rows(name: str, parameters: str, body: str) -> Text:
    """Return a kernel whose ``body`` does token ``t``, features from ``lane`` on, if ``there``."""
    return Text(
        name=name,
        parameters=f"{parameters}, long long features, long long tokens",
        helpers=_SUM,
        pack="1",
        body=f"""
    __shared__ A room[{THREADS}];
    const unsigned lanes = blockDim.x < {LANES} ? blockDim.x : {LANES};
    const unsigned lane = threadIdx.x % lanes, lines = blockDim.x / lanes;
    const long long step = (long long)gridDim.x * lines;
    for (long long base = blockIdx.x * (long long)lines; base < tokens; base += step) {{
        const bool there = base + threadIdx.x / lanes < tokens;
        const long long t = there ? base + threadIdx.x / lanes : 0, start = t * features;
        {body}
    }}
    """,
    )


def _each(parameters: str, body: str) -> str:
    """Return the loop over the features of a token: arrays ``[at]``, the others at ``[f + k]``."""
    read, inner, written = packed(parameters, body, "at", "start + f")
    others, inner, _ = packed("const T* w, const T* b", inner, r"f \+ k", "f")
    return f"{_PACKS} {{ {read} {others} {_ALL} {{ {inner} }} {written} }}"


_ARRAYS = "const T* x, const T* w, const T* b, T* y, T* stats"
_FORWARD = _rows(
    "layer_norm",
    _ARRAYS,
    f"""
        A sum = 0;
        {_each(_ARRAYS, "sum += A(x[at]);")}
        const A mean = row_sum(sum, room, lanes) / features;
        A squares = 0;
        {_each(_ARRAYS, "squares += (A(x[at]) - mean) * (A(x[at]) - mean);")}
        const A deviation = sqrt(row_sum(squares, room, lanes) / features + A({EPSILON!r}));
        const A inverse = 1 / deviation;
        if (!there) continue;
        {_each(_ARRAYS, "y[at] = T((A(x[at]) - mean) * inverse * A(w[f + k]) + A(b[f + k]));")}
        if (lane == 0) {{ stats[t] = T(mean); stats[tokens + t] = T(inverse); }}
    """,
)
_GIVEN = "const T* x, const T* dy, const T* w, const T* stats, T* dx"
_INPUT = _rows(
    "layer_norm_grad",
    _GIVEN,
    f"""
        const A mean = A(stats[t]), inverse = A(stats[tokens + t]);
        A slope = 0, shift = 0;
        {
        _each(
            _GIVEN,
            "const A g = A(dy[at]) * A(w[f + k]);"
            " slope += g * (A(x[at]) - mean) * inverse; shift += g;",
        )
    }
        slope = row_sum(slope, room, lanes) / features;
        shift = row_sum(shift, room, lanes) / features;
        if (!there) continue;
        {
        _each(
            _GIVEN,
            "const A z = (A(x[at]) - mean) * inverse;"
            " dx[at] = T((A(dy[at]) * A(w[f + k]) - shift - z * slope) * inverse);",
        )
    }
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
    text, _ = fitting(text, arrays, features)
    blocks = -(-tokens * LANES // THREADS)
    engine().launch(text, dtype_of(arrays[0]), blocks, *arrays, features, tokens)

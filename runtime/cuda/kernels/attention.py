"""Self-attention by a library, else with all scores of a sample; as ``runtime.kernels.attention``.

The plain form takes one sample at a time: H S^2 scores, twice in the backward pass.
"""

from math import sqrt
from typing import Any

from runtime.cuda.engine import dtype_of, engine, run
from runtime.cuda.text import SUM, THREADS, Text, each

_SOFTMAX = Text(
    name="attention_softmax",
    parameters="T* p, T* stats, A scale, long long causal, long long tokens, long long rows",
    helpers=SUM,
    body=f"""
    __shared__ A room[{THREADS}];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {{
        T* scores = p + row * tokens;
        const long long seen = causal ? row % tokens + 1 : tokens;
        A top = -INFINITY;
        for (long long k = threadIdx.x; k < seen; k += blockDim.x)
            top = A(scores[k]) * scale > top ? A(scores[k]) * scale : top;
        room[threadIdx.x] = top;
        __syncthreads();
        for (unsigned half = blockDim.x / 2; half; half /= 2) {{
            if (threadIdx.x < half && room[threadIdx.x + half] > room[threadIdx.x])
                room[threadIdx.x] = room[threadIdx.x + half];
            __syncthreads();
        }}
        top = room[0];
        __syncthreads();
        A sum = 0;
        for (long long k = threadIdx.x; k < seen; k += blockDim.x)
            sum += exp(A(scores[k]) * scale - top);
        sum = block_sum(sum, room);
        for (long long k = threadIdx.x; k < tokens; k += blockDim.x)
            scores[k] = T(k < seen ? exp(A(scores[k]) * scale - top) / sum : A(0));
        if (threadIdx.x == 0) stats[row] = T(log(sum) + top);
    }}
    """,
)
_WEIGHTS = each(
    "attention_weights",
    "T* p, const T* stats, A scale, long long causal, long long tokens",
    """
    const long long row = i / tokens, seen = causal ? row % tokens + 1 : tokens;
    p[i] = T(i % tokens < seen ? exp(A(p[i]) * scale - A(stats[row])) : A(0));
    """,
)
_SCORES = Text(
    name="attention_scores_grad",
    parameters="const T* p, T* ds, A scale, long long tokens, long long rows",
    helpers=SUM,
    body=f"""
    __shared__ A room[{THREADS}];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {{
        const long long at = row * tokens;
        A inner = 0;
        for (long long k = threadIdx.x; k < tokens; k += blockDim.x)
            inner += A(p[at + k]) * A(ds[at + k]);
        inner = block_sum(inner, room);
        for (long long k = threadIdx.x; k < tokens; k += blockDim.x)
            ds[at + k] = T(A(p[at + k]) * (A(ds[at + k]) - inner) * scale);
    }}
    """,
)


def forward(x: Any, y: Any, stats: Any, work: Any, *, heads: int, causal: int) -> None:
    """``y = softmax(q k^T / sqrt(D)) v``."""
    del work
    if engine().attend("forward", (x, y, stats), heads, bool(causal)):
        return
    tokens, features, scale = _sizes(x, heads)
    for sample, out, kept in zip(x, y, stats, strict=True):
        q, k, v = (
            _copy(name, part) for name, part in zip("qkv", _parts(sample, heads), strict=True)
        )
        p = _room("scores", (heads, tokens, tokens), x)
        engine().matmul(q, k.swapaxes(1, 2), p)
        rows = heads * tokens
        engine().launch(_SOFTMAX, dtype_of(x), rows, p, kept, scale, causal, tokens, rows)
        found = _room("q", (heads, tokens, features), x)
        engine().matmul(p, v, found)
        engine().copy(found.swapaxes(0, 1), out.reshape(tokens, heads, features))


def input_grad(x: Any, stats: Any, dy: Any, dx: Any, work: Any, *, heads: int, causal: int) -> None:
    """Gradients of queries, keys and values, side by side in ``dx`` as they are in ``x``."""
    del work
    if engine().attend("input_grad", (x, stats, dy, dx), heads, bool(causal)):
        return
    tokens, features, scale = _sizes(x, heads)
    shape = (heads, tokens, tokens)
    for sample, kept, given, out in zip(x, stats, dy, dx, strict=True):
        q, k, v = (
            _copy(name, part) for name, part in zip("qkv", _parts(sample, heads), strict=True)
        )
        gradient = _copy("given", given.reshape(tokens, heads, features).swapaxes(0, 1))
        p, ds = _room("scores", shape, x), _room("scores_grad", shape, x)
        engine().matmul(q, k.swapaxes(1, 2), p)
        run(_WEIGHTS, p, kept, scale, causal, tokens, size=p.size)
        engine().matmul(gradient, v.swapaxes(1, 2), ds)
        rows = heads * tokens
        engine().launch(_SCORES, dtype_of(x), rows, p, ds, scale, tokens, rows)
        dq, dk, dv = _parts(out, heads)
        found = _room("found", (heads, tokens, features), x)
        for place, a, b in (
            (dv, p.swapaxes(1, 2), gradient),
            (dq, ds, k),
            (dk, ds.swapaxes(1, 2), q),
        ):
            engine().matmul(a, b, found)
            engine().copy(found, place)


def _sizes(x: Any, heads: int) -> tuple[int, int, float]:
    """Return tokens, features of a head, and what scores are scaled by."""
    features = x.shape[2] // (3 * heads)
    return x.shape[1], features, 1 / sqrt(features)


def _parts(sample: Any, heads: int) -> list[Any]:
    """Return views (H, S, D) of queries, keys and values of one sample (S, 3 H D)."""
    split = sample.reshape(len(sample), 3, heads, -1)
    return [split[:, part].swapaxes(0, 1) for part in range(3)]


def _copy(name: str, part: Any) -> Any:
    room = _room(name, part.shape, part)
    engine().copy(part, room)
    return room


def _room(name: str, shape: tuple[int, ...], like: Any) -> Any:
    """Return workspace of a shape."""
    elements = shape[0] * shape[1] * shape[2]
    return engine().scratch(f"attention.{name}", elements, dtype_of(like)).reshape(shape)

"""Self-attention by a library, else with all scores written out; as ``runtime.kernels.attention``.

The plain form takes as many samples at a time as its workspace holds: H S^2 scores each, twice in
the backward pass.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any

from runtime.cuda.engine import dtype_of, engine, run
from runtime.cuda.text import SUM, THREADS, Text, each

MOST_SCORES = 1 << 27
"""Of the plain form at a time."""
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
    tokens, scale = x.shape[1], _scale(x, heads)
    for some in _rounds(x, heads):
        q, k, v = _parts(_split(x[some], heads))
        p = _room("scores", (len(q), tokens, tokens), x)
        engine().matmul(q, k.swapaxes(1, 2), p)
        rows = len(q) * tokens
        engine().launch(_SOFTMAX, dtype_of(x), rows, p, stats[some], scale, causal, tokens, rows)
        found = _room("q", q.shape, x)
        engine().matmul(p, v, found)
        engine().copy(_by_sample(found, heads), _by_head(y[some], heads))


def input_grad(x: Any, stats: Any, dy: Any, dx: Any, work: Any, *, heads: int, causal: int) -> None:
    """Gradients of queries, keys and values, side by side in ``dx`` as they are in ``x``."""
    del work
    if engine().attend("input_grad", (x, stats, dy, dx), heads, bool(causal)):
        return
    tokens, scale = x.shape[1], _scale(x, heads)
    for some in _rounds(x, heads):
        q, k, v = _parts(_split(x[some], heads))
        given = _room("given", q.shape, x)
        engine().copy(_by_head(dy[some], heads), _by_sample(given, heads))
        shape = (len(q), tokens, tokens)
        p, ds = _room("scores", shape, x), _room("scores_grad", shape, x)
        engine().matmul(q, k.swapaxes(1, 2), p)
        run(_WEIGHTS, p, stats[some], scale, causal, tokens, size=p.size)
        engine().matmul(given, v.swapaxes(1, 2), ds)
        rows = len(q) * tokens
        engine().launch(_SCORES, dtype_of(x), rows, p, ds, scale, tokens, rows)
        found = _room("found", q.shape, x)
        dq, dk, dv = _split(dx[some], heads)
        for place, a, b in (
            (dv, p.swapaxes(1, 2), given),
            (dq, ds, k),
            (dk, ds.swapaxes(1, 2), q),
        ):
            engine().matmul(a, b, found)
            engine().copy(_by_sample(found, heads), place)


def _scale(x: Any, heads: int) -> float:
    """Return what scores are scaled by."""
    return 1 / sqrt(x.shape[2] // (3 * heads))


def _rounds(x: Any, heads: int) -> Iterator[slice]:
    """Yield samples whose scores fit the workspace, at least one at a time."""
    samples, tokens, _ = x.shape
    step = max(1, MOST_SCORES // (heads * tokens * tokens))
    for first in range(0, samples, step):
        yield slice(first, min(first + step, samples))


def _split(x: Any, heads: int) -> list[Any]:
    """Return views (n, H, S, D) of queries, keys and values that lie side by side in a token."""
    samples, tokens, width = x.shape
    split = x.reshape(samples, tokens, 3, heads, width // (3 * heads))
    return [split[:, :, part].swapaxes(1, 2) for part in range(3)]


def _by_head(y: Any, heads: int) -> Any:
    """Return a view (n, H, S, D) of (n, S, H D)."""
    samples, tokens, width = y.shape
    return y.reshape(samples, tokens, heads, width // heads).swapaxes(1, 2)


def _by_sample(x: Any, heads: int) -> Any:
    """Return a view (n, H, S, D) of (n H, S, D)."""
    return x.reshape(-1, heads, *x.shape[1:])


def _parts(split: list[Any]) -> list[Any]:
    """Return copies (n H, S, D) that are contiguous."""
    found = []
    for name, part in zip("qkv", split, strict=True):
        room = _room(name, (part.shape[0] * part.shape[1], *part.shape[2:]), part)
        engine().copy(part, _by_sample(room, part.shape[1]))
        found.append(room)
    return found


def _room(name: str, shape: tuple[int, ...], like: Any) -> Any:
    """Return workspace of a shape."""
    elements = shape[0] * shape[1] * shape[2]
    return engine().scratch(f"attention.{name}", elements, dtype_of(like)).reshape(shape)

"""Rows of a table by number; arguments as in ``runtime.kernels.embedding``.

Gradients are added without atomics: the block of a number's first token adds the rows of all its
tokens, in their order, so two runs end in the same bits.
"""

from typing import Any

from runtime.cuda.engine import dtype_of, engine, run
from runtime.cuda.text import THREADS, Text, each

_TOKEN = """
    long long token = x[t / each_sample * numbers + first + t % each_sample];
    token = token < 0 ? 0 : token < vocab ? token : vocab - 1;
"""
_SIZES = (
    "long long features, long long vocab, long long each_sample, long long numbers, long long first"
)
_FORWARD = each(
    "embedding",
    f"const T* w, T* y, const long long* x, {_SIZES}",
    f"const long long t = i / features; {_TOKEN} y[i] = w[token * features + i % features];",
)
_ADD = Text(
    name="embedding_grad",
    parameters=f"const T* dy, T* dw, const long long* x, {_SIZES}, long long tokens",
    body=f"""
    __shared__ unsigned char same[{THREADS}];
    __shared__ int any;
    for (long long mine = blockIdx.x; mine < tokens; mine += gridDim.x) {{
        long long t = mine;
        long long number;
        {{ {_TOKEN} number = token; }}
        __syncthreads();
        if (threadIdx.x == 0) any = 0;
        __syncthreads();
        for (t = threadIdx.x; t < mine; t += blockDim.x) {{
            {_TOKEN}
            if (token == number) any = 1;
        }}
        __syncthreads();
        const int seen = any;
        __syncthreads();
        if (seen) continue;
        for (long long from = mine; from < tokens; from += blockDim.x) {{
            if (threadIdx.x == 0) any = 0;
            __syncthreads();
            t = from + threadIdx.x;
            bool equal = false;
            if (t < tokens) {{ {_TOKEN} equal = token == number; }}
            same[threadIdx.x] = equal;
            if (equal) any = 1;
            __syncthreads();
            const int found = any;
            if (found)
                for (long long f = threadIdx.x; f < features; f += blockDim.x) {{
                    A sum = A(dw[number * features + f]);
                    for (unsigned k = 0; k < blockDim.x; k++)
                        if (same[k]) sum += A(dy[(from + k) * features + f]);
                    dw[number * features + f] = T(sum);
                }}
            __syncthreads();
        }}
    }}
    """,
)


def forward(x: Any, w: Any, y: Any, *, first: int) -> None:
    """``y[s] = w[x[first + s]]``."""
    run(_FORWARD, w, y, x, *_sizes(x, w, y, first), size=y.size)


def weight_grad(x: Any, dy: Any, dw: Any, *, first: int, tied: int) -> None:
    """Add every row of ``dy`` to the row of ``dw`` that it came from."""
    if not tied:
        engine().clear(dw)
    tokens = dy.shape[0] * dy.shape[1]
    sizes = _sizes(x, dw, dy, first)
    engine().launch(_ADD, dtype_of(dy), tokens, dy, dw, x, *sizes, tokens)


def _sizes(x: Any, table: Any, y: Any, first: int) -> tuple[int, ...]:
    """Return features, rows of the table, tokens and numbers of a sample, the first token."""
    return (table.shape[1], table.shape[0], y.shape[1], x.shape[1], first)

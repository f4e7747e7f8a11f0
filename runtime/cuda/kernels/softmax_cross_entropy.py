"""Cross-entropy and its gradient, a block a row; as ``runtime.kernels.softmax_cross_entropy``."""

from collections.abc import Sequence
from typing import Any

from planner.precision import SCALE
from runtime.cuda.engine import dtype_of, engine
from runtime.cuda.text import SUM, THREADS, Text


def _rows(name: str, parameter: str, factor: str) -> Text:
    """Return the kernel of rows; ``factor`` is what the gradient is multiplied by beside."""
    return Text(
        name=name,
        parameters=f"const T* x, T* dx, const long long* labels, double* found, {parameter}A share,"
        " long long classes, long long each_sample, long long labels_each, long long first,"
        " long long rows",
        helpers=SUM,
        body=_BODY.replace("FACTOR", factor),
    )


_BODY = f"""
    __shared__ A room[{THREADS}];
    __shared__ long long places[{THREADS}];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {{
        const T* logits = x + row * classes;
        const long long label =
            labels[row / each_sample * labels_each + first + row % each_sample];
        A top = -INFINITY;
        long long place = classes;
        #pragma unroll 4
        for (long long k = threadIdx.x; k < classes; k += blockDim.x)
            if (A(logits[k]) > top) {{ top = A(logits[k]); place = k; }}
        room[threadIdx.x] = top;
        places[threadIdx.x] = place;
        __syncthreads();
        for (unsigned half = blockDim.x / 2; half; half /= 2) {{
            if (threadIdx.x < half) {{
                const A other = room[threadIdx.x + half];
                const long long there = places[threadIdx.x + half];
                const bool earlier = there < places[threadIdx.x];
                if (other > room[threadIdx.x] || (other == room[threadIdx.x] && earlier)) {{
                    room[threadIdx.x] = other;
                    places[threadIdx.x] = there;
                }}
            }}
            __syncthreads();
        }}
        top = room[0];
        place = places[0];
        __syncthreads();
        A sum = 0;
        #pragma unroll 4
        for (long long k = threadIdx.x; k < classes; k += blockDim.x)
            sum += exp(A(logits[k]) - top);
        sum = block_sum(sum, room);
        const A right = A(logits[label]);
        __syncthreads();
        #pragma unroll 4
        for (long long k = threadIdx.x; k < classes; k += blockDim.x)
            dx[row * classes + k] =
                T((exp(A(logits[k]) - top) / sum - (k == label ? A(1) : A(0))) / share FACTOR);
        if (threadIdx.x == 0) {{
            found[row] = (double)(log(sum) - (right - top)) / (double)share;
            found[rows + row] = place == label;
        }}
        __syncthreads();
    }}
    """
_ROWS = _rows("cross_entropy", "", "")
_SCALED = _rows("cross_entropy_scaled", "const A* scaling, ", f"* scaling[{SCALE}]")
_TOTAL = Text(
    name="cross_entropy_total",
    parameters="const double* found, double* stats, long long adds, long long rows",
    body=f"""
    __shared__ double losses[{THREADS}], hits[{THREADS}];
    double loss = 0, hit = 0;
    for (long long k = threadIdx.x; k < rows; k += blockDim.x) {{
        loss += found[k];
        hit += found[rows + k];
    }}
    losses[threadIdx.x] = loss;
    hits[threadIdx.x] = hit;
    __syncthreads();
    if (threadIdx.x == 0) {{
        for (unsigned k = 1; k < blockDim.x; k++) {{ loss += losses[k]; hit += hits[k]; }}
        stats[0] = (adds ? stats[0] : 0) + loss;
        stats[1] = (adds ? stats[1] : 0) + hit;
    }}
    """,
)


def forward(x: Any, labels: Any, dx: Any, stats: Any, *, batch: int) -> None:
    """``dx = (softmax(x) - onehot(labels)) / batch`` and ``stats = (loss / batch, hits)``."""
    _add_heads((x,), labels, (), (dx,), stats, batch)


def scaled_forward(x: Any, labels: Any, scaling: Any, dx: Any, stats: Any, *, batch: int) -> None:
    """``forward`` with the gradient times the scale of the loss."""
    _add_heads((x,), labels, (scaling,), (dx,), stats, batch)


def heads(*arrays: Any, batch: int) -> None:
    """``forward`` for several heads: the loss of a sample is the sum of theirs."""
    count = (len(arrays) - 2) // 2
    _add_heads(arrays[:count], arrays[count], (), arrays[count + 1 : -1], arrays[-1], batch)


def scaled_heads(*arrays: Any, batch: int) -> None:
    """``heads`` with gradients times the scale of the loss."""
    count = (len(arrays) - 3) // 2
    labels, scaling, *gradients, stats = arrays[count:]
    _add_heads(arrays[:count], labels, (scaling,), gradients, stats, batch)


def _add_heads(
    logits: Sequence[Any],
    labels: Any,
    scaling: tuple[Any, ...],
    gradients: Sequence[Any],
    stats: Any,
    batch: int,
) -> None:
    """Write the gradient of each head's logits; loss and hits are those of all heads."""
    first = 0
    for head, (x, dx) in enumerate(zip(logits, gradients, strict=True)):
        classes = x.shape[-1]
        rows = x.size // classes
        each = rows // len(x)
        found = engine().scratch("losses", 2 * rows, "float64")
        sizes = (classes, each, labels.size // len(labels), first, rows)
        dtype, text = dtype_of(x), _SCALED if scaling else _ROWS
        engine().launch(
            text, dtype, rows, x, dx, labels, found, *scaling, float(batch * each), *sizes
        )
        engine().launch(_TOTAL, dtype, 1, found, stats, int(head > 0), rows)
        first += each

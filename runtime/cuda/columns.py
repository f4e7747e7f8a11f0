"""Sums down the columns of a matrix, in two stages and one fixed order: biases, norms, statistics.

Rows may come in groups that are summed apart. A kernel gives two terms of an element, ``U`` and
``V``; the first stage sums them over pieces of the rows, the second over the pieces.
"""

from typing import Any

from runtime.cuda.engine import engine
from runtime.cuda.text import THREADS, Text, each

LANES = 32
"""Columns of a block: threads that read neighbours."""
MOST_PIECES = 512


def terms(name: str, parameters: str, u: str, v: str) -> Text:
    """Return the first stage for terms ``u`` and ``v`` of element ``at`` in ``row`` and ``column``.

    ``group`` is the row's group; names of ``parameters`` may be used. The last parameters are the
    partial sums (2, groups, pieces, columns) and the sizes.
    """
    body = f"""
    __shared__ A us[{THREADS}], vs[{THREADS}];
    const unsigned lanes = blockDim.x < {LANES} ? blockDim.x : {LANES};
    const unsigned lane = threadIdx.x % lanes, line = threadIdx.x / lanes;
    const unsigned lines = blockDim.x / lanes;
    const long long tiles = (columns + {LANES} - 1) / {LANES};
    const long long tile = blockIdx.x % tiles, piece = blockIdx.x / tiles % pieces;
    const long long group = blockIdx.x / tiles / pieces, share = (rows + pieces - 1) / pieces;
    const long long end = (piece + 1) * share < rows ? (piece + 1) * share : rows;
    for (unsigned shift = 0; shift < {LANES}; shift += lanes) {{
        const long long column = tile * {LANES} + shift + lane;
        A u = 0, v = 0;
        if (column < columns)
            for (long long r = piece * share + line; r < end; r += lines) {{
                const long long row = group * rows + r, at = row * columns + column;
                u += {u};
                v += {v};
            }}
        us[threadIdx.x] = u;
        vs[threadIdx.x] = v;
        __syncthreads();
        if (line == 0 && column < columns) {{
            for (unsigned k = 1; k < lines; k++) {{
                u += us[k * lanes + lane];
                v += vs[k * lanes + lane];
            }}
            const long long to = (group * pieces + piece) * columns + column;
            parts[to] = u;
            parts[groups * pieces * columns + to] = v;
        }}
        __syncthreads();
    }}
    """
    sizes = "long long rows, long long columns, long long groups, long long pieces"
    return Text(name=name, parameters=f"{parameters}, A* parts, {sizes}", body=body)


TOTAL = """
    for (long long k = 0; k < pieces; k++) {
        const long long from = (group * pieces + k) * columns + column;
        u += parts[from];
        v += parts[groups * pieces * columns + from];
    }
"""


def finish(name: str, parameters: str, body: str) -> Text:
    """Return a second stage: ``body`` has the sums ``u`` and ``v`` of ``column`` of ``group``."""
    return each(
        name,
        f"const A* parts, {parameters}, long long columns, long long groups, long long pieces",
        f"""
    const long long column = i % columns, group = i / columns;
    A u = 0, v = 0;
    {TOTAL}
    {body}
    """,
    )


def reduce(
    first: Text,
    arguments: tuple[Any, ...],
    second: Text,
    results: tuple[Any, ...],
    *,
    rows: int,
    columns: int,
    groups: int = 1,
) -> None:
    """Run both stages over ``groups`` times ``rows`` rows; float arrays come first."""
    dtype = str(arguments[0].dtype)
    wide = "float64" if dtype == "float64" else "float32"
    tiles = -(-columns // LANES)
    pieces = max(1, min(MOST_PIECES, -(-rows // 64), -(-4096 // (tiles * groups))))
    parts = engine().scratch("parts", 2 * groups * pieces * columns, wide)
    blocks = tiles * pieces * groups
    engine().launch(first, dtype, blocks, *arguments, parts, rows, columns, groups, pieces)
    count = columns * groups
    engine().launch(
        second, dtype, -(-count // THREADS), parts, *results, columns, groups, pieces, count
    )


_ROWS = terms("column_terms", "const T* x", "A(x[at])", "0")
_WRITE = finish("column_sums", "T* out", "out[i] = T(u);")


def column_sums(x: Any, out: Any) -> None:
    """``out`` = sums of the columns of the matrix ``x``, contiguous."""
    rows, columns = x.shape
    reduce(_ROWS, (x,), _WRITE, (out,), rows=rows, columns=columns)

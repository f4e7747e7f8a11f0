"""Work down the columns of a matrix: sums in one fixed order, and elements that share a column's.

A thread has as many neighbouring columns as its ``PACK`` says and goes down some of the rows, so
what belongs to a column is read once. Rows may come in groups, each with its own. Sums have two
stages: over pieces of the rows, then over the pieces.
"""

import re
from collections.abc import Mapping
from typing import Any

from runtime.cuda.engine import engine, fitting
from runtime.cuda.text import THREADS, Text, packed

LANES = 32
"""Packs side by side in a block, at most: threads that read neighbours."""
LEAST_ROWS = 64
"""Of a piece, if there are as many."""
MOST_BLOCKS = 1056
"""Blocks that sum, about: eight for each multiprocessor of the largest GPU so far."""
SHARES = 4
"""Times as many blocks where nothing is summed afterwards."""
SIZES = "long long rows, long long columns, long long groups, long long pieces"
_PLACE = f"""
    const long long in_row = columns / PACK;
    unsigned wide = 1;
    while (wide < {LANES} && wide < in_row) wide *= 2;
    const unsigned lanes = blockDim.x < wide ? blockDim.x : wide;
    const unsigned lane = threadIdx.x % lanes, line = threadIdx.x / lanes;
    const unsigned lines = blockDim.x / lanes;
    const long long tiles = (in_row + wide - 1) / wide;
    const long long tile = blockIdx.x % tiles, piece = blockIdx.x / tiles % pieces;
    const long long group = blockIdx.x / tiles / pieces, share = (rows + pieces - 1) / pieces;
    const long long end = (piece + 1) * share < rows ? (piece + 1) * share : rows;
"""
_TILE = "for (unsigned shift = 0; shift < wide; shift += lanes)"
_FIRST = "const long long first = (tile * wide + shift + lane) * PACK;"
_PACK = "for (int k = 0; k < PACK; k++)"


def _down(parameters: str, given: Mapping[str, str], body: str) -> str:
    """Return the loop of a thread down its rows; ``given`` is what it knows of each column."""
    for name in given:
        body = _of_each(name, body)
    read, inner, written = packed(parameters, body, "at", "start")
    known = " ".join(
        f"A {name}_of[PACK]; {_PACK} {{ const long long column = first + k;"
        f" {name}_of[k] = {text}; }}"
        for name, text in given.items()
    )
    return f"""
        {known}
        #pragma unroll 4
        for (long long r = piece * share + line; r < end; r += lines) {{
            const long long row = group * rows + r, start = row * columns + first;
            {read}
            #pragma unroll
            {_PACK} {{ const long long at = start + k; {inner} }}
            {written}
        }}
    """


def _of_each(name: str, body: str) -> str:
    """Return the body with the name of something known as that of element ``k``."""
    return re.sub(rf"\b{name}\b", f"{name}_of[k]", body)


def over(name: str, parameters: str, given: Mapping[str, str], body: str) -> Text:
    """Return a kernel that does element ``[at]`` of ``row`` in ``group``.

    ``given`` are expressions of ``column`` and ``group`` by the name that the body has for them.
    """
    down = _down(parameters, given, body)
    loop = f"{_PLACE} {_TILE} {{ {_FIRST} if (first < columns) {{ {down} }} }}"
    return Text(name=name, parameters=f"{parameters}, {SIZES}", body=loop, pack="1")


def terms(
    name: str, parameters: str, u: str, v: str, given: Mapping[str, str] | None = None
) -> Text:
    """Return the first stage for terms ``u`` and ``v`` of element ``[at]``; else as ``over``.

    The partial sums are (2, groups, pieces, columns).
    """
    down = _down(parameters, given or {}, f"us[k] += {u}; vs[k] += {v};")
    body = f"""
    __shared__ A all_u[{THREADS} * PACK], all_v[{THREADS} * PACK];
    {_PLACE}
    {_TILE} {{
        {_FIRST}
        A us[PACK], vs[PACK];
        {_PACK} us[k] = vs[k] = 0;
        if (first < columns) {{ {down} }}
        {_PACK} {{ all_u[threadIdx.x * PACK + k] = us[k]; all_v[threadIdx.x * PACK + k] = vs[k]; }}
        __syncthreads();
        for (unsigned c = threadIdx.x; c < lanes * PACK; c += blockDim.x) {{
            const long long column = (tile * wide + shift) * PACK + c;
            A u = 0, v = 0;
            for (unsigned l = 0; l < lines; l++) {{
                u += all_u[l * lanes * PACK + c];
                v += all_v[l * lanes * PACK + c];
            }}
            if (column < columns) {{
                const long long to = (group * pieces + piece) * columns + column;
                parts[to] = u;
                parts[groups * pieces * columns + to] = v;
            }}
        }}
        __syncthreads();
    }}
    """
    return Text(name=name, parameters=f"{parameters}, A* parts, {SIZES}", body=body, pack="1")


def finish(name: str, parameters: str, body: str) -> Text:
    """Return a second stage: ``body`` has the sums ``u`` and ``v`` of ``column`` of ``group``.

    It is run once for each column of each group, their number ``i``.
    """
    text = f"""
    __shared__ A us[{THREADS}], vs[{THREADS}];
    const unsigned lanes = blockDim.x < {LANES} ? blockDim.x : {LANES};
    const unsigned lane = threadIdx.x % lanes, line = threadIdx.x / lanes;
    const unsigned lines = blockDim.x / lanes;
    for (unsigned shift = 0; shift < {LANES}; shift += lanes) {{
        const long long i = blockIdx.x * (long long){LANES} + shift + lane;
        const long long column = i % columns, group = i / columns;
        A u = 0, v = 0;
        if (i < columns * groups)
            for (long long k = line; k < pieces; k += lines) {{
                const long long from = (group * pieces + k) * columns + column;
                u += parts[from];
                v += parts[groups * pieces * columns + from];
            }}
        us[threadIdx.x] = u;
        vs[threadIdx.x] = v;
        __syncthreads();
        if (line == 0 && i < columns * groups) {{
            for (unsigned l = 1; l < lines; l++) {{
                u += us[l * lanes + lane];
                v += vs[l * lanes + lane];
            }}
            {body}
        }}
        __syncthreads();
    }}
    """
    sizes = "long long columns, long long groups, long long pieces"
    return Text(name=name, parameters=f"const A* parts, {parameters}, {sizes}", body=text)


def _spread(
    text: Text, arrays: tuple[Any, ...], rows: int, columns: int, groups: int, blocks: int
) -> tuple[Text, int, int]:
    """Return the text for such arrays, its pieces of the rows of a group, and its blocks."""
    text, pack = fitting(text, arrays, columns)
    tiles = -(-columns // pack // LANES)
    pieces = max(1, min(-(-rows // LEAST_ROWS), -(-blocks // (tiles * groups))))
    return text, pieces, tiles * pieces * groups


def run_over(text: Text, *arrays: Any, rows: int, columns: int, groups: int = 1) -> None:
    """Run a kernel of ``over`` on ``groups`` times ``rows`` rows."""
    text, pieces, blocks = _spread(text, arrays, rows, columns, groups, SHARES * MOST_BLOCKS)
    dtype = str(arrays[0].dtype)
    engine().launch(text, dtype, blocks, *arrays, rows, columns, groups, pieces)


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
    first, pieces, blocks = _spread(first, arguments, rows, columns, groups, MOST_BLOCKS)
    parts = engine().scratch("parts", 2 * groups * pieces * columns, wide)
    engine().launch(first, dtype, blocks, *arguments, parts, rows, columns, groups, pieces)
    engine().launch(
        second, dtype, -(-columns * groups // LANES), parts, *results, columns, groups, pieces
    )


_ROWS = terms("column_terms", "const T* x", "A(x[at])", "0")
_WRITE = finish("column_sums", "T* out", "out[i] = T(u);")


def column_sums(x: Any, out: Any) -> None:
    """``out`` = sums of the columns of the matrix ``x``, contiguous."""
    rows, columns = x.shape
    reduce(_ROWS, (x,), _WRITE, (out,), rows=rows, columns=columns)

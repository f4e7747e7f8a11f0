"""Convolution by a library, else as products of gathered columns; as ``runtime.kernels.conv2d``.

The fallback gathers columns (places, R S C) of as many places as its workspace holds. The gradient
of the input is a convolution of the output's gradient, so it is gathered too and nothing is added
in an order that varies.
"""

from collections.abc import Iterator
from typing import Any

from runtime.cuda.columns import column_sums
from runtime.cuda.engine import dtype_of, engine, run
from runtime.cuda.kernels.add import accumulate
from runtime.cuda.kernels.linear import add_bias
from runtime.cuda.layout import maps, weights
from runtime.cuda.text import each
from runtime.kernels.conv2d import Geometry

MOST_COLUMNS = 1 << 24
"""Elements of the fallback's columns: places at a time follow from it."""
_SIZES = (
    "long long first, long long rows, long long columns, long long height, long long width,"
    " long long all, long long from, long long channels, long long high, long long wide,"
    " long long stride, long long pad, long long pad_w"
)
_PLACE = """
    const long long c = i % channels, s = i / channels % wide, r = i / channels / wide % high;
    const long long place = first + i / channels / wide / high;
    const long long q = place % columns, p = place / columns % rows, n = place / columns / rows;
"""
_READ = "inside ? source[((n * height + h) * width + v) * all + from + c] : T(0)"
_GATHER = each(
    "gather",
    f"const T* source, T* cols, {_SIZES}",
    f"""
    {_PLACE}
    const long long h = p * stride + r - pad, v = q * stride + s - pad_w;
    const bool inside = h >= 0 && h < height && v >= 0 && v < width;
    cols[i] = {_READ};
    """,
)
_GATHER_BACK = each(
    "gather_back",
    f"const T* source, T* cols, {_SIZES}",
    f"""
    {_PLACE}
    const long long a = p + pad - r, b = q + pad_w - s, h = a / stride, v = b / stride;
    const bool inside = a >= 0 && b >= 0 && a % stride == 0 && b % stride == 0 && h < height
        && v < width;
    cols[i] = {_READ};
    """,
)


def forward(x: Any, w: Any, *arrays: Any, **how: int) -> None:
    """``y`` = convolution of ``x`` with ``w``, and ``+ b``."""
    g = Geometry(**how)
    b, y = (arrays[0], arrays[1]) if g.bias else (None, arrays[0])
    if not engine().convolve("forward", x, w, y, _how(g)):
        out = _matrix(y)
        for group in range(g.groups):
            kernel = _of_group(weights(w), group, g.groups)
            flat = kernel.reshape(len(kernel), -1)
            for rows, cols in _columns(x, w, y, g, group):
                _product(cols, flat.T, _part(out, rows, group, g.groups))
    if b is not None:
        add_bias(y, b)


def weight_grad(x: Any, dy: Any, dw: Any, *arrays: Any, **how: int) -> None:
    """``dw`` = products of ``dy`` and ``x`` summed over samples and places; ``db`` = sums."""
    g = Geometry(**how)
    if g.bias:
        column_sums(_matrix(dy), arrays[0])
    if engine().convolve("weight_grad", x, dw, dy, _how(g)):
        return
    gradient = _matrix(dy)
    for group in range(g.groups):
        target = _of_group(weights(dw), group, g.groups)
        target = target.reshape(len(target), -1)
        for rows, cols in _columns(x, dw, dy, g, group):
            given = _compact(_part(gradient, rows, group, g.groups))
            part = _room("part", target.shape, dw)
            engine().matmul(given.T, cols, part)
            if rows.start:
                accumulate(part, target)
            else:
                engine().copy(part, target)


def input_grad(dy: Any, w: Any, dx: Any, *work: Any, **how: int) -> None:
    """``dx`` = the convolution's adjoint applied to ``dy``."""
    del work
    g = Geometry(**how)
    if engine().convolve("input_grad", dx, w, dy, _how(g)):
        return
    out = _matrix(dx)
    for group in range(g.groups):
        kernel = _of_group(weights(w), group, g.groups)
        turned = _room("turned", (*kernel.shape[1:3], len(kernel), kernel.shape[3]), w)
        engine().copy(kernel.transpose(1, 2, 0, 3), turned)
        flat = turned.reshape(-1, kernel.shape[3])
        for rows, cols in _columns(dx, w, dy, g, group, back=True):
            _product(cols, flat, _part(out, rows, group, g.groups))


def _how(g: Geometry) -> tuple[int, ...]:
    return (g.stride, g.pad, g.pad_w, g.groups)


def _matrix(x: Any) -> Any:
    """Return maps as (n H W, C)."""
    return maps(x).reshape(-1, len(x))


def _of_group(array: Any, group: int, groups: int) -> Any:
    """Return a group's share of the first axis."""
    return array[group * len(array) // groups : (group + 1) * len(array) // groups]


def _part(matrix: Any, rows: slice, group: int, groups: int) -> Any:
    """Return some rows of a group's columns."""
    width = matrix.shape[1] // groups
    return matrix[rows, group * width : (group + 1) * width]


def _columns(
    x: Any, w: Any, y: Any, g: Geometry, group: int, *, back: bool = False
) -> Iterator[tuple[slice, Any]]:
    """Yield places of ``y`` (of ``x``, if ``back``) and the columns that their values come from."""
    source, target = (y, x) if back else (x, y)
    high, wide = w.shape[2:]
    count = len(source) // g.groups
    width = high * wide * count
    places = target.size // len(target)
    step = max(1, MOST_COLUMNS // width)
    pads = (g.stride, g.pad, g.pad_w)
    for first in range(0, places, step):
        end = min(places, first + step)
        cols = _room("columns", (end - first, width), x)
        shape = (first, *target.shape[1:3], *source.shape[1:3], len(source), group * count)
        text = _GATHER_BACK if back else _GATHER
        run(text, source, cols, *shape, count, high, wide, *pads, size=cols.size)
        yield slice(first, end), cols


def _product(a: Any, b: Any, out: Any) -> None:
    """``out = a b``, through workspace where the result's rows lie apart."""
    if out.flags.c_contiguous:
        engine().matmul(a, b, out)
    else:
        part = _room("part", out.shape, out)
        engine().matmul(a, b, part)
        engine().copy(part, out)


def _compact(a: Any) -> Any:
    """Return a matrix whose rows follow one another."""
    if a.flags.c_contiguous:
        return a
    part = _room("compact", a.shape, a)
    engine().copy(a, part)
    return part


def _room(name: str, shape: tuple[int, ...], like: Any) -> Any:
    """Return workspace of a shape."""
    elements = 1
    for side in shape:
        elements *= side
    return engine().scratch(name, elements, dtype_of(like)).reshape(shape)

"""Maximum over square windows; arguments as in ``runtime.kernels.max_pool``.

The gradient is gathered: each place asks the windows that have it whether it is their first
maximum.
"""

from typing import Any

from runtime.cuda.engine import run_rows
from runtime.cuda.text import each

SIZES = (
    "long long channels, long long height, long long width, long long rows, long long columns,"
    " long long window, long long stride, long long pad"
)
OUTPUT = """
    const long long packs = channels / PACK, c = i % packs * PACK, q = i / packs % columns;
    const long long p = i / packs / columns % rows, n = i / packs / columns / rows;
    const long long top = p * stride - pad, left = q * stride - pad;
    const long long h0 = top < 0 ? 0 : top, h1 = top + window < height ? top + window : height;
    const long long v0 = left < 0 ? 0 : left, v1 = left + window < width ? left + window : width;
"""
"""The place of output pack ``i`` and the inputs of its window: rows h0 to h1, columns v0 to v1."""
INPUT = """
    const long long packs = channels / PACK, c = i % packs * PACK, v = i / packs % width;
    const long long h = i / packs / width % height, n = i / packs / width / height;
    const long long p0 = h + pad < window ? 0 : (h + pad - window) / stride + 1;
    const long long q0 = v + pad < window ? 0 : (v + pad - window) / stride + 1;
    const long long p1 = (h + pad) / stride < rows - 1 ? (h + pad) / stride : rows - 1;
    const long long q1 = (v + pad) / stride < columns - 1 ? (v + pad) / stride : columns - 1;
"""
"""The place of input pack ``i`` and the windows that have it: p0 to p1, q0 to q1, last ones too."""
ALL = "for (int k = 0; k < PACK; k++)"


def pack(name: str, array: str, at: str) -> str:
    """Return what reads a pack."""
    return f"const Pack<T> {name} = *(const Pack<T>*)({array} + {at});"


def outer(text: str, array: str) -> str:
    """Return what writes a pack ``i``, its element ``k`` as ``text`` says."""
    return (
        f"Pack<T> {array}_; {ALL} {array}_.v[k] = {text};"
        f" *(Pack<T>*)({array} + i * PACK) = {array}_;"
    )


_FORWARD = each(
    "max_pool",
    f"const T* x, T* y, {SIZES}",
    f"""
    {OUTPUT}
    A most[PACK];
    {ALL} most[k] = -INFINITY;
    for (long long h = h0; h < h1; h++)
        for (long long v = v0; v < v1; v++) {{
            {pack("a", "x", "((n * height + h) * width + v) * channels + c")}
            {ALL} if (A(a.v[k]) > most[k]) most[k] = A(a.v[k]);
        }}
    {outer("T(most[k])", "y")}
    """,
    by_pack=True,
)
_GRADIENT = each(
    "max_pool_grad",
    f"const T* x, const T* y, const T* dy, T* dx, {SIZES}",
    f"""
    {INPUT}
    {pack("mine", "x", "i * PACK")}
    A sum[PACK];
    {ALL} sum[k] = 0;
    for (long long p = p0; p <= p1; p++)
        for (long long q = q0; q <= q1; q++) {{
            const long long out = ((n * rows + p) * columns + q) * channels + c;
            {pack("most", "y", "out")}
            bool is_first[PACK], any = false;
            {ALL} any |= is_first[k] = A(most.v[k]) == A(mine.v[k]);
            const long long top = p * stride - pad, left = q * stride - pad;
            const long long far = left + window < width ? left + window : width;
            for (long long a = top < 0 ? 0 : top; a <= h && any; a++)
                for (long long b = left < 0 ? 0 : left; b < (a == h ? v : far); b++) {{
                    {pack("other", "x", "((n * height + a) * width + b) * channels + c")}
                    {ALL} is_first[k] &= A(other.v[k]) != A(mine.v[k]);
                }}
            if (!any) continue;
            {pack("given", "dy", "out")}
            {ALL} if (is_first[k]) sum[k] += A(given.v[k]);
        }}
    {outer("T(sum[k])", "dx")}
    """,
    by_pack=True,
)


def forward(x: Any, y: Any, **how: int) -> None:
    """``y`` = largest of each window of ``x``."""
    run_rows(_FORWARD, x, y, *sizes(x, y, **how), length=len(x), size=y.size)


def input_grad(x: Any, y: Any, dy: Any, dx: Any, work: Any, **how: int) -> None:
    """``dx`` = ``dy`` at the first place of each window that holds its maximum, summed."""
    del work
    run_rows(_GRADIENT, x, y, dy, dx, *sizes(x, y, **how), length=len(x), size=x.size)


def sizes(
    x: Any, y: Any, *, window: int, stride: int = 0, pad: int = 0, ceil: int = 0
) -> tuple[int, ...]:
    """Return what ``SIZES`` names."""
    del ceil  # it shows in the shape of y
    return (*x.shape[:3], *y.shape[1:3], window, stride or window, pad)

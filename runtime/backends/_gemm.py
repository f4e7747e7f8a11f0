"""A BLAS's ``cblas_?gemm`` called from compiled code, where Python's part of a call is small.

Through ctypes a product takes 7 us beside its own time, here 0.6 us, and one of many matrices, as
attention has, no more. Arrays are read as they lie: rows, or columns, may be apart.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from runtime.kernels import Array
from sim.arrays.compiled import cached, compiled, type_of, with_parts

BY_ROWS, PLAIN, TURNED = 101, 111, 112
"""``CblasRowMajor``, ``CblasNoTrans``, ``CblasTrans``."""
SLAB, FEW = 64, 128
"""Rows of a large ``b`` taken at a time, where ``a`` has few.

MKL goes down column after column; in huge pages, lines a power of two apart then push each other
out of the cache. On a core of a Sapphire Rapids Xeon 128 x 9,216 x 4,096 took 145 ms whole, 115 ms
by 128 rows, 78 ms by 64; 32 x 4,096 x 4,096 21, 17 and 14 ms.
"""
MOST = 2**31 - 1
"""Largest number that a call takes."""


def products(dtype: "np.dtype[np.floating[Any]]", axes: int) -> Any:
    """Return what writes ``out = a b`` for arrays of ``axes`` axes, 2 or 4: matrices or many.

    Called with the address of ``gemm``, ``a``, ``b``, ``out``, whether to add to what is there, and
    from how many bytes on ``b`` is large. It returns whether it did: not where shapes do not fit or
    are empty, nor where neither rows nor columns of a matrix are contiguous.
    """
    number = type_of(np.empty(1, dtype)).dtype
    read = types.Array(number, axes, "A", readonly=True)
    signature = (type_of(1), read, read, types.Array(number, axes, "A"), type_of(True), type_of(1))
    if axes == 2:
        return cached(*signature)(with_parts(_multiply, _lines=compiled(_lines)))
    one = compiled(with_parts(_multiply, _lines=compiled(_lines)))
    return cached(*signature)(with_parts(_multiply_each, _multiply=one))


@intrinsic
def _call(  # noqa: PLR0913, the arguments of the library
    _: Any,
    gemm: Any,
    orders: Any,
    sizes: Any,
    a: Any,
    b: Any,
    out: Any,
    first: Any,
    lines: Any,
    onto: Any,
) -> Any:
    """``out = a b``, with ``out`` added if ``onto``; ``a`` and ``b`` from elements ``first`` on."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, orders, sizes, a, b, out, first, lines, onto = arguments
        count, place = ir.IntType(32), ir.IntType(8).as_pointer()

        def counts(pack: Any) -> list[Any]:
            return [builder.trunc(one, count) for one in cgutils.unpack_tuple(builder, pack)]

        starts = [
            context.make_array(kind)(context, builder, value=value).data
            for kind, value in zip(signature.args[3:6], (a, b, out), strict=True)
        ]
        number = starts[2].type.pointee
        for i, skipped in enumerate(cgutils.unpack_tuple(builder, first)):
            starts[i] = builder.gep(starts[i], [skipped])
        one, zero = ir.Constant(number, 1.0), ir.Constant(number, 0.0)
        by_a, by_b, by_out = counts(lines)
        a_at, b_at, out_at = (builder.bitcast(start, place) for start in starts)
        scale = builder.select(onto, one, zero)
        given = [a_at, by_a, b_at, by_b, scale, out_at, by_out]
        kinds = [*[count] * 6, number, place, count, place, count, number, place, count]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(
            builder.inttoptr(address, function.as_pointer()),
            [count(BY_ROWS), *counts(orders), *counts(sizes), one, *given],
        )
        return context.get_dummy_value()

    return types.void(gemm, orders, sizes, a, b, out, first, lines, onto), build


def _lines(matrix: Array) -> tuple[int, int]:
    """Return how a matrix lies, and how far its lines are apart in elements; 0: as none may."""
    rows, columns = matrix.shape
    down, right = matrix.strides[0] // matrix.itemsize, matrix.strides[1] // matrix.itemsize
    if columns == 1 or right == 1:
        if rows == 1:
            return PLAIN, columns
        if columns <= down <= MOST:
            return PLAIN, down
    if rows == 1 or down == 1:
        if columns == 1:
            return TURNED, rows
        if rows <= right <= MOST:
            return TURNED, right
    return PLAIN, 0


def _multiply(gemm: int, a: Array, b: Array, out: Array, onto: bool, near_bytes: int) -> bool:
    """Write the product of two matrices."""
    (rows, deep), columns = a.shape, b.shape[1]
    if b.shape[0] != deep or out.shape[0] != rows or out.shape[1] != columns:
        return False
    if min(rows, deep, columns) == 0 or max(rows, deep, columns) > MOST:
        return False
    a_order, a_line = _lines(a)
    b_order, b_line = _lines(b)
    out_order, out_line = _lines(out)
    if out_order != PLAIN or min(a_line, b_line, out_line) == 0:
        return False
    is_streamed = b_order == PLAIN and rows <= FEW and deep * columns * b.itemsize > near_bytes
    step = SLAB if is_streamed else deep
    a_step = a_line if a_order == TURNED else 1
    for first in range(0, deep, step):
        _call(
            gemm,
            (a_order, b_order),
            (rows, columns, min(step, deep - first)),
            a,
            b,
            out,
            (first * a_step, first * b_line if is_streamed else 0),
            (a_line, b_line, out_line),
            onto or first > 0,
        )
    return True


def _multiply_each(gemm: int, a: Array, b: Array, out: Array, onto: bool, near_bytes: int) -> bool:
    """Write the products of matrices that lie in the last two axes."""
    outer, inner = out.shape[0], out.shape[1]
    for array in (a, b):
        if array.shape[0] != outer or array.shape[1] != inner:
            return False
    done: bool = outer * inner > 0
    for i in range(outer):
        for j in range(inner):
            done = done and _multiply(gemm, a[i, j], b[i, j], out[i, j], onto, near_bytes)
    return done

"""Products of column-major matrices in flat memory, on the stream of this thread."""

import ctypes

import numpy as np
from cupy.cuda import _streams

TRANSPOSE = 1


def types():
    import ml_dtypes

    return {0: np.float32, 1: np.float64, 2: np.float16, 14: ml_dtypes.bfloat16}


def matrix(ptr, kind, leading, rows, columns, batch=1, stride=0):
    """A view of (batch, rows, columns) of a column-major matrix."""
    dtype = np.dtype(types()[kind])
    count = stride * (batch - 1) + leading * (columns - 1) + rows
    flat = np.frombuffer((ctypes.c_uint8 * (count * dtype.itemsize)).from_address(ptr), dtype)
    strides = (stride * dtype.itemsize, dtype.itemsize, leading * dtype.itemsize)
    return np.lib.stride_tricks.as_strided(flat, (batch, rows, columns), strides, writeable=True)


def gemmStridedBatchedEx(*given):  # noqa: N802
    _, ta, tb, m, n, k, alpha, *rest = given
    a, a_type, lda, of_a, b, b_type, ldb, of_b, beta, c, c_type, ldc, of_c, batch, compute, _ = rest
    wide, scalar = (np.float64, ctypes.c_double) if compute == 70 else (np.float32, ctypes.c_float)
    assert scalar.from_address(alpha).value == 1
    assert scalar.from_address(beta).value == 0
    left = matrix(a, a_type, lda, *((k, m) if ta == TRANSPOSE else (m, k)), batch, of_a)
    right = matrix(b, b_type, ldb, *((n, k) if tb == TRANSPOSE else (k, n)), batch, of_b)
    left = left.swapaxes(1, 2) if ta == TRANSPOSE else left
    right = right.swapaxes(1, 2) if tb == TRANSPOSE else right
    out = matrix(c, c_type, ldc, m, n, batch, of_c)

    def work():
        out[...] = np.matmul(left.astype(wide), right.astype(wide))
        return True

    _streams.current().put(work)


def gemmEx(*given):  # noqa: N802
    handle, ta, tb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, *rest = given
    c, c_type, ldc, compute, algorithm = rest
    of_a, of_b, of_c = (a, a_type, lda, 0), (b, b_type, ldb, 0), (c, c_type, ldc, 0)
    gemmStridedBatchedEx(
        handle, ta, tb, m, n, k, alpha, *of_a, *of_b, beta, *of_c, 1, compute, algorithm
    )

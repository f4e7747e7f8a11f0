"""MKL's products of matrices, called in its library without a layer between: linear layers, logits.

One thread, and one choice of its kernels for all runs (``REPRODUCIBLE``): equal bits wherever
operands lie at equal places within a cache line, as they do in every arena. What it packs is not in
the arena: nothing at 64 x 512 x 512, 4 MiB at 128 x 9,216 x 4,096, 15 MiB at 512 x 4,096 x 4,096.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import metadata

import numpy as np

from hwprofiles.errors import BackendUnavailable
from runtime.kernels import Array, Kernel

ALLOCATES = True
BY_ROWS, PLAIN, TURNED = 101, 111, 112
"""``CblasRowMajor``, ``CblasNoTrans``, ``CblasTrans``."""
SEQUENTIAL = 1
"""``MKL_THREADING_SEQUENTIAL``."""
REPRODUCIBLE = 2
"""``MKL_CBWR_AUTO``. The stricter mode, whatever the alignment, took up to a fifth longer."""

SLAB, FEW, NEAR_BYTES = 64, 128, 4 << 20
"""Rows of a large ``b`` taken at a time, where ``a`` has few, and what counts as large.

MKL goes down column after column; in huge pages, lines a power of two apart then push each other
out of the cache. On a core of a Sapphire Rapids Xeon 128 x 9,216 x 4,096 took 145 ms whole, 115 ms
by 128 rows, 78 ms by 64; 32 x 4,096 x 4,096 21, 17 and 14 ms.
"""


def library() -> str:
    """Return MKL and its version."""
    try:
        return f"MKL {metadata.version('mkl')}"
    except metadata.PackageNotFoundError as error:
        raise BackendUnavailable(
            "backend 'mkl': expected Intel's MKL, got no package mkl; pip install 'foreplan[mkl]',"
            " or leave the backend out"
        ) from error


@cache
def _mkl() -> ctypes.CDLL:
    """Return the library, set to one thread, for a worker is one lane."""
    files = metadata.files("mkl") or ()
    path = next((file.locate() for file in files if file.name.startswith("libmkl_rt.so")), None)
    if path is None:
        raise BackendUnavailable(
            "backend 'mkl': expected libmkl_rt.so in the package mkl, got none; install it again,"
            " or leave the backend out"
        )
    mkl = ctypes.CDLL(str(path))
    if mkl.MKL_Set_Threading_Layer(SEQUENTIAL) != SEQUENTIAL or mkl.MKL_CBWR_Set(REPRODUCIBLE):
        raise BackendUnavailable(
            "backend 'mkl': expected one thread and reproducible kernels, MKL refused; unset"
            " MKL_THREADING_LAYER and MKL_CBWR"
        )
    return mkl


@cache
def _gemm(dtype: "np.dtype[np.floating]") -> Callable[..., None]:
    """Return ``cblas_sgemm`` or ``cblas_dgemm``."""
    single = dtype.itemsize == np.float32().itemsize
    number = ctypes.c_float if single else ctypes.c_double
    found = _mkl().cblas_sgemm if single else _mkl().cblas_dgemm
    count, place = ctypes.c_int, ctypes.c_void_p
    operand = (place, count)
    found.argtypes = (*(count,) * 6, number, *operand, *operand, number, *operand)
    found.restype = None
    return found


def product(a: Array, b: Array, out: Array, *, onto: bool = False) -> None:
    """``out = a b``, added to what is there with ``onto``.

    Parameters
    ----------
    a, b : float arrays, shapes (M, K) and (K, N)
        C-contiguous, or the transposes of such.
    out : float array, shape (M, N), C-contiguous, written
    """
    (rows, deep), columns = a.shape, b.shape[1]
    a_order, b_order = _order(a), _order(b)
    is_streamed = b_order == PLAIN and rows <= FEW and b.nbytes > NEAR_BYTES
    step = SLAB if is_streamed else deep
    for first in range(0, deep, step):
        some = slice(first, min(first + step, deep))
        _gemm(out.dtype)(
            BY_ROWS,
            a_order,
            b_order,
            rows,
            columns,
            some.stop - first,
            1.0,
            a[:, some].ctypes.data,
            deep if a_order == PLAIN else rows,
            b[some].ctypes.data,
            columns if b_order == PLAIN else deep,
            1.0 if onto or first else 0.0,
            out.ctypes.data,
            columns,
        )


def _order(a: Array) -> int:
    return PLAIN if a.flags.c_contiguous else TURNED


def _rows(x: Array) -> Array:
    """Return an array of tokens as a matrix."""
    return x.reshape(-1, x.shape[-1])


def _linear(x: Array, w: Array, b: Array, y: Array) -> None:
    """``linear.forward``."""
    np.copyto(y, b)
    product(_rows(x), w, _rows(y), onto=True)


def _linear_weights(x: Array, dy: Array, dw: Array, db: Array) -> None:
    """``linear.weight_grad``."""
    product(_rows(x).T, _rows(dy), dw)
    np.add.reduce(_rows(dy), axis=0, out=db)


def _linear_inputs(dy: Array, w: Array, dx: Array) -> None:
    """``linear.input_grad``."""
    product(_rows(dy), w.T, _rows(dx))


def _logits(x: Array, w: Array, *rest: Array) -> None:
    """``unembedding.forward``."""
    *biases, y = rest
    for b in biases:
        np.copyto(y, b)
    product(_rows(x), w.T, _rows(y), onto=bool(biases))


def _logits_weights(x: Array, dy: Array, dw: Array, *biases: Array) -> None:
    """``unembedding.weight_grad``."""
    product(_rows(dy).T, _rows(x), dw)
    for db in biases:
        np.add.reduce(_rows(dy), axis=0, out=db)


def _logits_inputs(dy: Array, w: Array, dx: Array) -> None:
    """``unembedding.input_grad``."""
    product(_rows(dy), w, _rows(dx))


KERNELS: dict[str, Kernel] = {
    "linear.forward": _linear,
    "linear.weight_grad": _linear_weights,
    "linear.input_grad": _linear_inputs,
    "unembedding.forward": _logits,
    "unembedding.weight_grad": _logits_weights,
    "unembedding.input_grad": _logits_inputs,
}

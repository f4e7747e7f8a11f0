"""MKL's products of matrices, called in its library: linear layers, logits, attention, LSTM.

One thread, and one choice of its kernels for all runs (``REPRODUCIBLE``): equal bits wherever
operands lie at equal places within a cache line, as they do in every arena. What it packs is not in
the arena: nothing at 64 x 512 x 512, 4 MiB at 128 x 9,216 x 4,096, 15 MiB at 512 x 4,096 x 4,096.
Convolutions of 1 x 1 are NumPy's: at 64 and 256 maps of 56 x 56 MKL was up to a fifth slower.
"""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata
from typing import Any

import numpy as np

from hwprofiles.errors import BackendUnavailable
from runtime.kernels import Array, Kernel, kernel

ALLOCATES = True
PARTS = ("_gemm",)
SEQUENTIAL = 1
"""``MKL_THREADING_SEQUENTIAL``."""
REPRODUCIBLE = 2
"""``MKL_CBWR_AUTO``. The stricter mode, whatever the alignment, took up to a fifth longer."""
NEAR_BYTES = 4 << 20
"""What a matrix may have to be taken whole; see ``_gemm.SLAB``."""


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
def _products(dtype: "np.dtype[np.floating[Any]]", axes: int) -> Callable[..., bool]:
    """Return what multiplies arrays of so many axes by ``cblas_sgemm`` or ``cblas_dgemm``."""
    from runtime.backends._gemm import products

    if axes not in (2, 4) or dtype.char not in "fd":
        return lambda *_: False
    is_single = dtype.itemsize == np.float32().itemsize
    gemm = _mkl().cblas_sgemm if is_single else _mkl().cblas_dgemm
    return partial(products(dtype, axes), ctypes.cast(gemm, ctypes.c_void_p).value)


def product(a: Array, b: Array, *, out: Array, onto: bool = False) -> None:
    """``out = a b``, added to what is there with ``onto``; what MKL does not take is NumPy's.

    Parameters
    ----------
    a, b : float arrays, shapes (M, K) and (K, N), or (n, H, M, K) and (n, H, K, N)
        Rows or columns contiguous.
    out : float array, shape (M, N) or (n, H, M, N), rows contiguous, written
        Apart from ``a`` and ``b``.
    """
    multiply = _products(out.dtype, out.ndim)
    try:
        done = multiply(a, b, out, onto, NEAR_BYTES)
    except TypeError:  # operands of other dtypes or axes than ``out``
        done = False
    if not done and onto:
        np.add(out, np.matmul(a, b), out=out)
    elif not done:
        np.matmul(a, b, out=out)


def _rows(x: Array) -> Array:
    """Return an array of tokens as a matrix."""
    return x.reshape(-1, x.shape[-1])


def _linear(x: Array, w: Array, b: Array, y: Array) -> None:
    """``linear.forward``: products added to biases, one pass over ``y`` less."""
    np.copyto(y, b)
    product(_rows(x), w, out=_rows(y), onto=True)


def _logits(x: Array, w: Array, *rest: Array) -> None:
    """``unembedding.forward``, likewise."""
    *biases, y = rest
    for b in biases:
        np.copyto(y, b)
    product(_rows(x), w.T, out=_rows(y), onto=bool(biases))


def _multiplying(name: str, *arrays: Array, **how: int) -> None:
    """Run NumPy's kernel with products of MKL."""
    kernel(name)(*arrays, **how, product=product)


MULTIPLYING = (
    "linear.weight_grad",
    "linear.input_grad",
    "unembedding.weight_grad",
    "unembedding.input_grad",
    "attention.forward",
    "attention.input_grad",
    "lstm.forward",
    "lstm.weight_grad",
    "lstm.input_grad",
)
KERNELS: dict[str, Kernel] = {
    "linear.forward": _linear,
    "unembedding.forward": _logits,
    **{name: partial(_multiplying, name) for name in MULTIPLYING},
}

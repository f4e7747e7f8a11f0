"""Products of row-major matrices as cuBLAS takes them, which reads memory column by column.

``cupy.matmul`` is not used: with more than two axes CuPy 14.2 upcasts halves and fails on bfloat16
(cupy pull 10317).
"""

from dataclasses import dataclass
from typing import Any

NO_TRANSPOSE, TRANSPOSE = 0, 1
"""``cublasOperation_t``."""
TYPES = {"float16": 2, "float32": 0, "float64": 1, "bfloat16": 14}
"""``cudaDataType``."""
COMPUTE = {"float16": 68, "bfloat16": 68, "float32": 68, "float64": 70}
"""``cublasComputeType_t``: halves add in float32."""
COMPUTE_TF32 = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``out = a b`` as the arguments of ``gemm``: its first operand is ``b``, transposed twice."""

    operations: tuple[int, int]
    sizes: tuple[int, int, int]
    """Columns and rows of ``out``, and what is summed over."""
    leading: tuple[int, int, int]
    """Elements from one row or column to the next: of ``b``, ``a``, ``out``."""
    strides: tuple[int, int, int]
    """Elements from one matrix to the next."""
    batch: int


def product(a: Any, b: Any, out: Any) -> Product:
    """Return the arguments for matrices, or for as many as the first axes say.

    >>> import numpy as np
    >>> product(np.zeros((2, 3)), np.zeros((5, 3)).T, np.zeros((2, 5))).operations
    (1, 0)
    """
    of_a, of_b = _operand(a), _operand(b)
    rows, columns = out.shape[-2:]
    return Product(
        operations=(of_b[0], of_a[0]),
        sizes=(columns, rows, a.shape[-1]),
        leading=(of_b[1], of_a[1], columns),
        strides=(of_b[2], of_a[2], rows * columns),
        batch=out.shape[0] if out.ndim == 3 else 1,
    )


def _operand(x: Any) -> tuple[int, int, int]:
    """Return how an operand is read, its leading dimension, and the elements between matrices."""
    item = x.dtype.itemsize
    rows, columns = x.shape[-2:]
    row, column = (stride // item for stride in x.strides[-2:])
    between = x.strides[0] // item if x.ndim == 3 else 0
    if column == 1 or columns == 1:
        return NO_TRANSPOSE, max(row if rows > 1 else columns, 1, columns), between
    assert row == 1 or rows == 1, f"gemm: neither rows nor columns of {x.shape} are contiguous"
    return TRANSPOSE, max(column, rows), between

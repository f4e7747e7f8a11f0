"""NumPy alone: the kernels that every backend falls back on (``runtime.kernels``)."""

from runtime.kernels import Kernel

KERNELS: dict[str, Kernel] = {}
ALLOCATES = False


def library() -> str:
    """Return nothing: NumPy and its BLAS have fields of their own in an identity."""
    return ""

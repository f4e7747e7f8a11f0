"""What kernels of this backend run on: CuPy's launches, products and workspaces.

Kernels never name CuPy. So the same functions, and the same C++, run where a test puts an engine
made of a host compiler and NumPy in its place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from runtime.cuda.text import PACK_BYTES, THREADS, Text, widened

MOST_BLOCKS = 4096
"""Blocks of a kernel that does many elements a thread: some waves of any GPU."""


class Engine(Protocol):
    """A device as kernels see it; arrays are CuPy's, or whatever the engine takes."""

    tf32: bool
    """Whether products of float32 may round to ten bits of mantissa."""

    @property
    def notes(self) -> Mapping[str, str]:
        """What is done another way than meant, and why: empty where all is as it should be."""
        ...

    @property
    def plans(self) -> Mapping[str, str]:
        """Name of a library's plan by call; two runs are alike only where these are."""
        ...

    def launch(self, text: Text, dtype: str, blocks: int, *arguments: Any) -> None:
        """Run ``blocks`` blocks; whole numbers are passed as 64 bits, fractions as ``A``."""
        ...

    def matmul(self, a: Any, b: Any, out: Any) -> None:
        """``out = a b`` of matrices, or of as many as their first axes say; out contiguous."""
        ...

    def address(self, array: Any) -> int:
        """Return where an array begins."""
        ...

    def scratch(self, name: str, elements: int, dtype: str) -> Any:
        """Return workspace of no meaning before and after, kept from call to call."""
        ...

    @property
    def moves(self) -> int:
        """How often workspace has moved."""
        ...

    def recording(self) -> AbstractContextManager[list[Callable[[], object]]]:
        """Keep all that is done, but for ``bring``; see ``runtime.cuda.tape``."""
        ...

    def copy(self, source: Any, target: Any) -> None:
        """Copy on the device, between arrays of one shape."""
        ...

    def clear(self, target: Any) -> None:
        """Write zeros."""
        ...

    def bring(self, source: Any, target: Any) -> None:
        """Copy an array of the host, C-contiguous, to one of the device of the same shape."""
        ...

    def convolve(self, phase: str, x: Any, w: Any, y: Any, how: tuple[int, ...]) -> bool:
        """Compute ``y``, ``w`` or ``x`` from the other two by a library; whether it could.

        ``how`` is stride, pad, pad_w and groups.
        """
        ...

    def attend(self, phase: str, arrays: tuple[Any, ...], heads: int, causal: bool) -> bool:
        """Do fused attention by a library, arguments as the kernel has them; whether it could."""
        ...


_current: list[Engine] = []


def engine() -> Engine:
    """Return the engine in use: CuPy's, unless another has been put in its place.

    Raises
    ------
    BackendUnavailable
        When CuPy or a GPU is missing.
    """
    if not _current:
        from runtime.cuda.cupy_engine import CupyEngine

        _current.append(CupyEngine())
    return _current[-1]


@contextmanager
def using(other: Engine) -> Iterator[None]:
    """Put another engine in place."""
    _current.append(other)
    try:
        yield
    finally:
        _current.pop()


def dtype_of(array: Any) -> str:
    """Return the name of an array's dtype.

    >>> import numpy as np
    >>> dtype_of(np.zeros(2, np.float32))
    'float32'
    """
    return str(array.dtype)


def run(text: Text, *arguments: Any, size: int) -> None:
    """Run a kernel made by ``runtime.cuda.text.each`` on ``size`` elements.

    Arrays of float among ``arguments`` have one dtype, that of the first array.
    """
    if not size:
        return
    first, threads = arguments[0], size
    if text.pack and aligned(arguments):
        text, threads = widened(text), -(-size * first.dtype.itemsize // PACK_BYTES)
    blocks = min(MOST_BLOCKS, -(-threads // THREADS))
    engine().launch(text, dtype_of(first), blocks, *arguments, size)


def run_rows(text: Text, *arguments: Any, length: int, size: int) -> None:
    """Run a kernel whose elements are packs of neighbours in rows of ``length``, ``size`` in all.

    It is made by ``each`` with ``by_pack``, so its ``size`` counts packs.
    """
    text, pack = fitting(text, arguments, length)
    blocks = min(MOST_BLOCKS, -(-size // pack // THREADS))
    engine().launch(text, dtype_of(arguments[0]), blocks, *arguments, size // pack)


def fitting(text: Text, arguments: Sequence[Any], length: int) -> tuple[Text, int]:
    """Return the text for arrays with rows of ``length``, and its elements a pack."""
    item: int = arguments[0].dtype.itemsize
    if length * item % PACK_BYTES == 0 and aligned(arguments):
        return widened(text), PACK_BYTES // item
    return text, 1


def aligned(arguments: Sequence[Any]) -> bool:
    """Whether all arrays among arguments begin where 16 bytes can be moved at once."""
    address = engine().address
    return all(address(a) % PACK_BYTES == 0 for a in arguments if not isinstance(a, int | float))

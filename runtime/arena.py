"""The static arena: one allocation per worker, every array of the step a view into it."""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.opcall import Tensor
from planner.program import Program, View
from planner.registers import ALIGNMENT_BYTES
from runtime.device import HOST, Device

CANARY = np.frombuffer(b"foreplan arena end: do not write", dtype=np.uint8)
"""Bytes behind the last register; a kernel that writes past its register spoils them."""

POISON = 0xFF
"""Byte of a freed register: floats of it are NaN, integers are no label."""

Array = npt.NDArray[np.generic]
Bytes = npt.NDArray[np.uint8]


class Arena:
    """The registers of one rank of a program, in one aligned block."""

    def __init__(self, program: Program, rank: int, device: Device = HOST) -> None:
        """Allocate on ``device``, in whose memory order axes lie."""
        self._device = device
        self.size_bytes = program.arena_bytes(rank)
        layout = program.layouts[rank]
        self._places = layout.places
        self._slot_bytes = {r.name: r.slot_bytes for r in layout.registers}
        self._block = aligned(self.size_bytes + len(CANARY), device)
        device.put(self._block[self.size_bytes :], CANARY)

    def view(self, view: View, tensor: Tensor | None = None) -> Array:
        """Return the array that ``view`` names, laid out as ``tensor`` where that is more."""
        place = self._places[view.register]
        start = place.first_byte + view.slot * place.step_bytes + view.offset_bytes
        dtype = dtype_of(view.dtype)
        count = prod(view.shape)
        flat: Array = self._block[start : start + count * dtype.itemsize].view(dtype)
        if tensor is None:
            plain: Array = flat.reshape(view.shape)
            return plain
        return laid(flat, view.shape, self._device.order(tensor))

    def slot(self, register: str, slot: int) -> Bytes:
        """Return the bytes of one slot of a register."""
        place = self._places[register]
        start = place.first_byte + slot * place.step_bytes
        found: Bytes = self._block[start : start + self._slot_bytes[register]]
        return found

    def fill(self, byte: int) -> None:
        """Set every byte of all registers."""
        self._block[: self.size_bytes] = byte

    @property
    def last_line(self) -> Bytes:
        """The last cache line, which a step writes to: the arena is no larger than needed."""
        found: Bytes = self._block[self.size_bytes - ALIGNMENT_BYTES : self.size_bytes]
        return found

    @property
    def is_intact(self) -> bool:
        """Whether nothing was written behind the last register."""
        return bool(np.array_equal(self._device.get(self._block[self.size_bytes :]), CANARY))


def aligned(size_bytes: int, device: Device = HOST) -> Any:
    """Return so many bytes, zeros, that begin at a cache line."""
    raw = device.allocate(size_bytes + ALIGNMENT_BYTES)
    # what a GPU allocates is aligned to more than a line
    skip = -raw.ctypes.data % ALIGNMENT_BYTES if device.is_host else 0
    return raw[skip : skip + size_bytes]


def laid(flat: Array, shape: tuple[int, ...], order: tuple[int, ...]) -> Array:
    """Return a flat array as one of ``shape`` whose axes lie in ``order``, the slowest first.

    >>> laid(np.arange(6), (2, 3), (1, 0)).tolist()
    [[0, 2, 4], [1, 3, 5]]
    """
    places = sorted(range(len(order)), key=order.__getitem__)
    return flat.reshape([shape[axis] for axis in order]).transpose(places)


def dtype_of(name: str) -> np.dtype[Any]:
    """Return NumPy's dtype of a name of ours; bfloat16 is of the package ml_dtypes.

    >>> dtype_of("tf32").name
    'float32'
    """
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype("float32" if name == "tf32" else name)

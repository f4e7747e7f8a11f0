"""The static arena: one allocation per worker, every array of the step a view into it."""

import numpy as np
import numpy.typing as npt

from planner.program import Program, View
from planner.registers import ALIGNMENT_BYTES

CANARY = np.frombuffer(b"foreplan arena end: do not write", dtype=np.uint8)
"""Bytes behind the last register; a kernel that writes past its register spoils them."""

POISON = 0xFF
"""Byte of a freed register: floats of it are NaN, integers are no label."""

Array = npt.NDArray[np.generic]
Bytes = npt.NDArray[np.uint8]


class Arena:
    """The registers of one rank of a program, in one aligned block."""

    def __init__(self, program: Program, rank: int) -> None:
        self.size_bytes = program.arena_bytes(rank)
        layout = program.layouts[rank]
        self._places = layout.places
        self._slot_bytes = {r.name: r.slot_bytes for r in layout.registers}
        raw = np.zeros(self.size_bytes + len(CANARY) + ALIGNMENT_BYTES, dtype=np.uint8)
        skip = -raw.ctypes.data % ALIGNMENT_BYTES
        self._block = raw[skip : skip + self.size_bytes + len(CANARY)]
        self._block[self.size_bytes :] = CANARY

    def view(self, view: View) -> Array:
        """Return the array that ``view`` names."""
        place = self._places[view.register]
        start = place.first_byte + view.slot * place.step_bytes + view.offset_bytes
        dtype = np.dtype(view.dtype)
        count = int(np.prod(view.shape, dtype=np.int64))
        return self._block[start : start + count * dtype.itemsize].view(dtype).reshape(view.shape)

    def slot(self, register: str, slot: int) -> Bytes:
        """Return the bytes of one slot of a register."""
        place = self._places[register]
        start = place.first_byte + slot * place.step_bytes
        return self._block[start : start + self._slot_bytes[register]]

    def fill(self, byte: int) -> None:
        """Set every byte of all registers."""
        self._block[: self.size_bytes] = byte

    @property
    def last_line(self) -> Bytes:
        """The last cache line, which a step writes to: the arena is no larger than needed."""
        return self._block[self.size_bytes - ALIGNMENT_BYTES : self.size_bytes]

    @property
    def is_intact(self) -> bool:
        """Whether nothing was written behind the last register."""
        return bool(np.array_equal(self._block[self.size_bytes :], CANARY))

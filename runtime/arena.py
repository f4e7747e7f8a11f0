"""The static arena: one allocation per worker, every array of the step a view into it."""

import numpy as np
import numpy.typing as npt

from planner.program import Program, View
from planner.registers import ALIGNMENT_BYTES

CANARY = np.frombuffer(b"foreplan arena end: do not write", dtype=np.uint8)
"""Bytes behind the last register; a kernel that writes past its register spoils them."""

Array = npt.NDArray[np.generic]


class Arena:
    """The registers of one rank of a program, in one aligned block."""

    def __init__(self, program: Program, rank: int) -> None:
        self.size_bytes = program.arena_bytes(rank)
        self._strides = {r.name: r.stride_bytes for r in program.registers[rank]}
        self._offsets = program.offsets(rank)
        raw = np.zeros(self.size_bytes + len(CANARY) + ALIGNMENT_BYTES, dtype=np.uint8)
        skip = -raw.ctypes.data % ALIGNMENT_BYTES
        self._block = raw[skip : skip + self.size_bytes + len(CANARY)]
        self._block[self.size_bytes :] = CANARY

    def view(self, view: View) -> Array:
        """Return the array that ``view`` names."""
        start = self._offsets[view.register] + view.slot * self._strides[view.register]
        start += view.offset_bytes
        dtype = np.dtype(view.dtype)
        count = int(np.prod(view.shape, dtype=np.int64))
        return self._block[start : start + count * dtype.itemsize].view(dtype).reshape(view.shape)

    @property
    def is_intact(self) -> bool:
        """Whether nothing was written behind the last register."""
        return bool(np.array_equal(self._block[self.size_bytes :], CANARY))

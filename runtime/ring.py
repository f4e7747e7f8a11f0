"""Memory that the processes of one input pipeline share, and the credits that bound them.

The memory has no name: it is a descriptor that children inherit, so nothing is left behind however
they end. A credit is a byte in a pipe: who takes one sleeps until it is there, and finds the end of
the pipe when the other side has died.
"""

import mmap
import os
import tempfile
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.program import View
from planner.registers import ALIGNMENT_BYTES, Register

COUNTERS = ("firings", "busy_ns")
"""What each process counts, in this order."""
Array = npt.NDArray[Any]


def anonymous(size_bytes: int) -> int:
    """Return the descriptor of so much zeroed memory."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("foreplan-input")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size_bytes)
    return fd


class Ring:
    """The registers of ``planner.rings.ring_registers`` behind the counters."""

    def __init__(self, registers: Sequence[Register], processes: int, fd: int = -1) -> None:
        head = len(COUNTERS) * 8 * processes
        at = -(-head // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        self._offsets = {}
        for register in registers:
            self._offsets[register.name] = (at, register.stride_bytes)
            at += register.arena_bytes
        self.fd = anonymous(at) if fd < 0 else fd
        self._bytes = np.frombuffer(mmap.mmap(self.fd, at), np.uint8)
        self.counters = self._bytes[:head].view(np.int64).reshape(processes, len(COUNTERS))
        """(P, 2) of each process, the reader first."""

    def holds(self, register: str) -> bool:
        """Whether a register lies here."""
        return register in self._offsets

    def array(self, view: View) -> Array:
        """Return the array that ``view`` names."""
        offset, stride_bytes = self._offsets[view.register]
        dtype = np.dtype(view.dtype)
        start = offset + view.slot * stride_bytes
        end = start + prod(view.shape) * dtype.itemsize
        return self._bytes[start:end].view(dtype).reshape(view.shape)


def give(fd: int, credits: int = 1) -> None:
    """Return credits; raise BrokenPipeError when nobody will take them."""
    os.write(fd, bytes(credits))


def take(fd: int) -> bool:
    """Wait for a credit; return False when there will be none, for the other side is gone."""
    return bool(os.read(fd, 1))


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)

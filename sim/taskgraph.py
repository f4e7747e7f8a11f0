"""The task graph: the one program that the simulator times and the executor runs.

Words. A *task* is one firing. A *compute* task holds its lanes for ``duration_ps``. A *transfer*
holds its lanes for an overhead (``duration_ps``) and then for a flow of ``payload_bytes`` over its
route. A *register* has a number of slots; a task takes one slot of every register it writes when it
starts, and that written *item* gives the slot back when the last task that reads it completes (at
once when its writer completes, if nobody reads it). Slots are the credits that bound how far actors
run ahead.

Index letters: N tasks, L lanes, R registers, K links, I items (one per written register of a task).
CSR pairs ``x_ptr, x_idx``: row ``i`` is ``x_idx[x_ptr[i]:x_ptr[i + 1]]``.
"""

import hashlib
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Floats, Ints
from sim.blocks import (
    Ids,
)

NO_ROUTE = -1
HASHED_AT_ONCE = 2**16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskGraph:
    """Everything that time and memory need, as arrays; immutable once built."""

    duration_ps: Ints
    """(N,) compute time, or the overhead of a transfer; picoseconds, >= 0."""
    payload_bytes: Ints
    """(N,) bytes of the flow; 0 for a compute task (a transfer of 0 bytes is only its overhead)."""
    route: Ids
    """(N,) index into the routes, ``NO_ROUTE`` for a compute task."""
    priority: Ids
    """(N,) smaller starts first."""
    actor: Ids
    """(N,) tasks of one actor are firings of the same op on the same device."""
    lane_ptr: Ids
    lane_idx: Ids
    """CSR over tasks: lanes held, ascending, at least one."""
    dep_ptr: Ids
    dep_idx: Ids
    """CSR over tasks: tasks that must complete first, ascending, without repeats."""
    out_ptr: Ids
    out_idx: Ids
    """CSR over tasks: registers written; a position in ``out_idx`` is the id of an item."""
    in_ptr: Ids
    in_idx: Ids
    """CSR over tasks: items read (held until this task completes)."""
    register_slots: Ids
    """(R,) credits of each register."""
    register_bytes: Ints
    """(R,) bytes of one slot."""
    register_device: Ids
    """(R,) device whose memory holds the register."""
    lane_device: Ids
    """(L,) device of each lane."""
    link_bytes_per_s: Floats
    """(K,) bandwidth of each link."""
    route_ptr: Ids
    route_idx: Ids
    """CSR over routes: links crossed."""
    route_cap_bytes_per_s: Floats
    """Per-flow cap of each route; infinite where there is none."""

    @property
    def tasks(self) -> int:
        """Number of tasks N."""
        return len(self.duration_ps)

    def row(self, name: str, i: int) -> list[int]:
        """Return row ``i`` of the CSR pair ``name_ptr, name_idx`` as plain integers."""
        ptr, idx = getattr(self, f"{name}_ptr"), getattr(self, f"{name}_idx")
        return [int(v) for v in idx[ptr[i] : ptr[i + 1]]]

    def rows(self, name: str) -> list[list[int]]:
        """Return all rows of the CSR pair ``name_ptr, name_idx`` as plain integers."""
        ids = getattr(self, f"{name}_idx").tolist()
        return [ids[a:b] for a, b in pairwise(getattr(self, f"{name}_ptr").tolist())]

    def is_flow(self, task: int) -> bool:
        """Whether the task moves bytes over links after its overhead."""
        return bool(self.route[task] != NO_ROUTE and self.payload_bytes[task] > 0)

    def item_task(self) -> Ints:
        """(I,) task that writes each item."""
        return np.repeat(np.arange(self.tasks, dtype=np.int64), np.diff(self.out_ptr))

    def item_readers(self) -> list[list[int]]:
        """Return the tasks that read each item, ascending."""
        readers: list[list[int]] = [[] for _ in range(len(self.out_idx))]
        for task, items in enumerate(self.rows("in")):
            for item in items:
                readers[item].append(task)
        return readers

    def sha256(self) -> str:
        """Hash of all arrays as 64-bit numbers: equal graphs give equal hashes on every machine."""
        digest = hashlib.sha256()
        for f in fields(self):
            array: npt.NDArray[Any] = getattr(self, f.name)
            wide = np.dtype("<i8" if array.dtype.kind == "i" else "<f8")
            digest.update(f"{f.name}:{wide.str}:{array.shape};".encode())
            for begin in range(0, len(array), HASHED_AT_ONCE):
                part = array[begin : begin + HASHED_AT_ONCE]
                digest.update(np.ascontiguousarray(part, dtype=wide).data)
        return digest.hexdigest()

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
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Floats, Ints

NO_ROUTE = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskGraph:
    """Everything that time and memory need, as arrays; immutable once built."""

    duration_ps: Ints
    """(N,) compute time, or the overhead of a transfer; picoseconds, >= 0."""
    payload_bytes: Ints
    """(N,) bytes of the flow; 0 for a compute task (a transfer of 0 bytes is only its overhead)."""
    route: Ints
    """(N,) index into the routes, ``NO_ROUTE`` for a compute task."""
    priority: Ints
    """(N,) smaller starts first."""
    actor: Ints
    """(N,) tasks of one actor are firings of the same op on the same device."""
    lane_ptr: Ints
    lane_idx: Ints
    """CSR over tasks: lanes held, ascending, at least one."""
    dep_ptr: Ints
    dep_idx: Ints
    """CSR over tasks: tasks that must complete first, ascending, without repeats."""
    out_ptr: Ints
    out_idx: Ints
    """CSR over tasks: registers written; a position in ``out_idx`` is the id of an item."""
    in_ptr: Ints
    in_idx: Ints
    """CSR over tasks: items read (held until this task completes)."""
    register_slots: Ints
    """(R,) credits of each register."""
    register_bytes: Ints
    """(R,) bytes of one slot."""
    register_device: Ints
    """(R,) device whose memory holds the register."""
    lane_device: Ints
    """(L,) device of each lane."""
    link_bytes_per_s: Floats
    """(K,) bandwidth of each link."""
    route_ptr: Ints
    route_idx: Ints
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

    def is_flow(self, task: int) -> bool:
        """Whether the task moves bytes over links after its overhead."""
        return bool(self.route[task] != NO_ROUTE and self.payload_bytes[task] > 0)

    def item_task(self) -> Ints:
        """(I,) task that writes each item."""
        return np.repeat(np.arange(self.tasks, dtype=np.int64), np.diff(self.out_ptr))

    def item_readers(self) -> list[list[int]]:
        """Return the tasks that read each item, ascending."""
        readers: list[list[int]] = [[] for _ in range(len(self.out_idx))]
        for task in range(self.tasks):
            for item in self.row("in", task):
                readers[item].append(task)
        return readers

    def sha256(self) -> str:
        """Hash of all arrays: equal graphs give equal hashes on every machine."""
        digest = hashlib.sha256()
        for f in fields(self):
            array = getattr(self, f.name)
            digest.update(f"{f.name}:{array.dtype.str}:{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(slots=True)
class GraphBuilder:
    """Append-only: ids are positions, so a dependency always names an earlier task."""

    _tasks: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    _lanes: list[tuple[int, ...]] = field(default_factory=list)
    _deps: list[tuple[int, ...]] = field(default_factory=list)
    _outs: list[tuple[int, ...]] = field(default_factory=list)
    _ins: list[tuple[int, ...]] = field(default_factory=list)
    _items_of: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    _items: int = 0
    _registers: list[tuple[int, int, int]] = field(default_factory=list)
    _lane_device: list[int] = field(default_factory=list)
    _links: list[float] = field(default_factory=list)
    _routes: dict[tuple[tuple[int, ...], float], int] = field(default_factory=dict)

    @property
    def tasks(self) -> int:
        """Number of tasks added so far."""
        return len(self._tasks)

    def lane(self, device: int) -> int:
        """Add a lane of ``device``; return its id."""
        self._lane_device.append(device)
        return len(self._lane_device) - 1

    def link(self, bandwidth_bytes_per_s: float) -> int:
        """Add a link; return its id."""
        self._links.append(bandwidth_bytes_per_s)
        return len(self._links) - 1

    def path(self, links: Sequence[int], cap_bytes_per_s: float = float("inf")) -> int:
        """Return the id of the route over ``links``; equal routes share one id."""
        return self._routes.setdefault((tuple(links), cap_bytes_per_s), len(self._routes))

    def register(self, device: int, slots: int, slot_bytes: int) -> int:
        """Add a register with ``slots`` credits of ``slot_bytes``; return its id."""
        self._registers.append((slots, slot_bytes, device))
        return len(self._registers) - 1

    def compute(
        self,
        lanes: Sequence[int],
        duration_ps: int,
        *,
        actor: int = 0,
        priority: int = 0,
        after: Sequence[int] = (),
        reads: Sequence[tuple[int, int]] = (),
        writes: Sequence[int] = (),
    ) -> int:
        """Append a compute task; ``reads`` are (writer task, register) pairs. Return its id."""
        row = (duration_ps, 0, NO_ROUTE, priority, actor)
        return self._append(row, lanes, after, reads, writes)

    def transfer(  # noqa: PLR0913, the keywords are the columns of a task
        self,
        lanes: Sequence[int],
        overhead_ps: int,
        *,
        payload_bytes: int,
        route: int,
        actor: int = 0,
        priority: int = 0,
        after: Sequence[int] = (),
        reads: Sequence[tuple[int, int]] = (),
        writes: Sequence[int] = (),
    ) -> int:
        """Append a transfer of ``payload_bytes`` over ``route``. Return its id."""
        row = (overhead_ps, payload_bytes, route, priority, actor)
        return self._append(row, lanes, after, reads, writes)

    def _append(
        self,
        row: tuple[int, int, int, int, int],
        lanes: Sequence[int],
        after: Sequence[int],
        reads: Sequence[tuple[int, int]],
        writes: Sequence[int],
    ) -> int:
        task = len(self._tasks)
        deps = {*after, *(writer for writer, _ in reads)}
        if not lanes or row[0] < 0 or row[1] < 0 or any(not 0 <= d < task for d in deps):
            raise PlanError(
                f"task {task}: needs a lane, a duration and bytes >= 0, and only earlier"
                f" dependencies; got lanes {list(lanes)}, {row[0]} ps, {row[1]} B,"
                f" after {sorted(deps)}"
            )
        unwritten = [pair for pair in reads if pair not in self._items_of]
        if unwritten:
            raise PlanError(
                f"task {task}: reads {unwritten} as (writer, register), but those tasks do not"
                " write those registers; name the register in the `writes` of the writer"
            )
        self._tasks.append(row)
        self._lanes.append(tuple(sorted(set(lanes))))
        self._deps.append(tuple(sorted(deps)))
        self._ins.append(tuple(sorted({item for pair in reads for item in self._items_of[pair]})))
        self._outs.append(tuple(writes))
        for register in writes:
            self._items_of.setdefault((task, register), []).append(self._items)
            self._items += 1
        return task

    def build(self) -> TaskGraph:
        """Freeze what was added."""
        columns = np.array(self._tasks, dtype=np.int64).reshape(-1, 5).T
        registers = np.array(self._registers, dtype=np.int64).reshape(-1, 3).T
        lane_ptr, lane_idx = _csr(self._lanes)
        dep_ptr, dep_idx = _csr(self._deps)
        out_ptr, out_idx = _csr(self._outs)
        in_ptr, in_idx = _csr(self._ins)
        route_ptr, route_idx = _csr([links for links, _ in self._routes])
        return TaskGraph(
            duration_ps=columns[0].copy(),
            payload_bytes=columns[1].copy(),
            route=columns[2].copy(),
            priority=columns[3].copy(),
            actor=columns[4].copy(),
            lane_ptr=lane_ptr,
            lane_idx=lane_idx,
            dep_ptr=dep_ptr,
            dep_idx=dep_idx,
            out_ptr=out_ptr,
            out_idx=out_idx,
            in_ptr=in_ptr,
            in_idx=in_idx,
            register_slots=registers[0].copy(),
            register_bytes=registers[1].copy(),
            register_device=registers[2].copy(),
            lane_device=np.array(self._lane_device, dtype=np.int64),
            link_bytes_per_s=np.array(self._links, dtype=np.float64),
            route_ptr=route_ptr,
            route_idx=route_idx,
            route_cap_bytes_per_s=np.array([cap for _, cap in self._routes], dtype=np.float64),
        )


def _csr(rows: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Return ``(ptr, idx)`` of a list of rows."""
    ptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=ptr[1:])
    return ptr, np.array([v for row in rows for v in row], dtype=np.int64)

"""Building a task graph: tasks one by one, or many at once as arrays; ids are positions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.units import Ints
from sim.blocks import (
    COLUMNS,
    NONE,
    WIDE,
    Block,
    Column,
    Ids,
    Part,
    Rows,
    as_column,
    as_table,
    check_block,
    join_columns,
    join_rows,
    narrow,
    once,
    rows_of_table,
    woven,
    writers_of,
)
from sim.paths import Paths
from sim.pending import Pending
from sim.taskgraph import NO_ROUTE, TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Added:
    """What a call for many tasks added: consecutive ids."""

    tasks: range
    """Their ids."""
    items: Ids
    """(n, k) the items that they write, in the order of the registers."""


@dataclass(slots=True)
class GraphBuilder:
    """Append-only: ids are positions, so a dependency always names an earlier task.

    ``compute`` and ``transfer`` add one task, ``computes`` and ``transfers`` many at once.
    """

    _blocks: list[Block] = field(default_factory=list)
    _pending: Pending = field(default_factory=Pending)
    _items: int = 0
    _slots: list[Ints] = field(default_factory=list)
    _slot_bytes: list[Ints] = field(default_factory=list)
    _register_devices: list[int] = field(default_factory=list)
    """Registers as they were added together."""
    _register_count: int = 0
    _lane_device: list[int] = field(default_factory=list)
    _links: list[float] = field(default_factory=list)
    _paths: Paths = field(default_factory=Paths)

    @property
    def tasks(self) -> int:
        """Number of tasks added so far."""
        return self._first + len(self._pending.columns)

    @property
    def items(self) -> int:
        """Number of items written so far."""
        return self._items

    @property
    def _first(self) -> int:
        """Id of the first task that is not in a block yet."""
        return self._blocks[-1].end if self._blocks else 0

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
        return self._paths.one(links, cap_bytes_per_s)

    def paths(self, links: Ids, cap_bytes_per_s: float = float("inf")) -> Ids:
        """Return the ids of many routes of equal length, given as an array (n, hops) of links."""
        return self._paths.many(links, cap_bytes_per_s)

    def register(self, device: int, slots: int, slot_bytes: int) -> int:
        """Add a register with ``slots`` credits of ``slot_bytes``; return its id."""
        return self.registers(device, (slots,), (slot_bytes,))[0]

    def registers(
        self, device: int, slots: Sequence[int] | Ints, slot_bytes: Sequence[int] | Ints
    ) -> range:
        """Add registers of one device; return their ids."""
        first = self._register_count
        self._slots.append(np.asarray(slots, dtype=np.int64))
        self._slot_bytes.append(np.asarray(slot_bytes, dtype=np.int64))
        self._register_devices.append(device)
        self._register_count += len(slots)
        return range(first, self._register_count)

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

    def computes(
        self,
        lanes: Ids,
        duration_ps: Column,
        *,
        actor: Column = 0,
        priority: Column = 0,
        after: Ids | None = None,
        reads: Ids | None = None,
        writes: Ids | None = None,
    ) -> Added:
        """Append compute tasks, as many as ``lanes`` has rows.

        Parameters
        ----------
        lanes, after, writes : int array, shape (n,) or (n, k)
            As in ``compute``, one row a task; -1 stands for none.
        reads : int array, shape (n,) or (n, k)
            Items, as found in ``Added.items``; their writers become dependencies.
        duration_ps, actor, priority : int, or int array of shape (n,)
        """
        columns = {"duration_ps": duration_ps, "payload_bytes": 0, "route": NO_ROUTE}
        columns |= {"actor": actor, "priority": priority}
        return self._extend(columns, lanes, after, reads, writes)

    def transfers(  # noqa: PLR0913, the keywords are the columns of a task
        self,
        lanes: Ids,
        overhead_ps: Column,
        *,
        payload_bytes: Column,
        route: Column,
        actor: Column = 0,
        priority: Column = 0,
        after: Ids | None = None,
        reads: Ids | None = None,
        writes: Ids | None = None,
    ) -> Added:
        """Append transfers, as many as ``lanes`` has rows; the rest as in ``computes``."""
        columns = {"duration_ps": overhead_ps, "payload_bytes": payload_bytes, "route": route}
        columns |= {"actor": actor, "priority": priority}
        return self._extend(columns, lanes, after, reads, writes)

    def extend(self, columns: dict[str, Column], count: int, **rows: Rows) -> range:
        """Append ``count`` tasks of both kinds.

        Parameters
        ----------
        columns : dict
            By name, see ``sim.blocks.COLUMNS``; ``NO_ROUTE`` for a compute task.
        lane, dep, out, in : Rows
            Lanes held; tasks waited for, the writers of what is read among them; both ascending in
            every row. Registers written; items read, counted from :attr:`items` on.

        Returns
        -------
        range
            Their ids.
        """
        self._close_block()
        block = Block(first=self.tasks, count=count, first_item=self._items)
        block.columns.update({k: as_column(v, k in WIDE) for k, v in columns.items()})
        for name, some in rows.items():
            block.rows[name] = Rows(lengths=some.lengths, ids=narrow(some.ids))
        check_block(block, block.rows["dep"])
        self._blocks.append(block)
        self._items += len(rows["out"].ids)
        return range(block.first, block.end)

    def weave(self, parts: Sequence[Part]) -> range:
        """Append the tasks of all parts, in turn, time after time; return their ids."""
        columns, rows = woven(parts)
        return self.extend(columns, sum(part.times * part.count for part in parts), **rows)

    def unawaited(self, first: int) -> tuple[int, ...]:
        """Return the tasks from ``first`` on that no later one waits for, ascending.

        ``first`` begins a block.
        """
        self._close_block()
        awaited = np.zeros(self.tasks - first, dtype=np.bool_)
        for block in self._blocks:
            if block.first >= first:
                ids = block.rows["dep"].ids
                awaited[ids[ids >= first] - first] = True
        return tuple((np.flatnonzero(~awaited) + first).tolist())

    def closed_block(self) -> Block:
        """End the block of the tasks added one by one, of which there are some; return it."""
        self._close_block()
        return self._blocks[-1]

    def repeat(
        self,
        model: Block,
        *,
        lanes: Ids,
        registers: Ids,
        actors: Ids,
        deps: Ids | None = None,
    ) -> range:
        """Append the tasks of a block again and again, each time on other lanes and registers.

        Parameters
        ----------
        model : Block
            Counted from 0 on.
        lanes, registers, actors : int array, shape (n, k)
            By copy, and by id in the block: the id in the copy; lanes keep their order.
        deps : int array, shape (n, k)
            By copy, what its tasks wait for, as many as in the block, ascending for each task.
            Without it none of them waits for one before the copy.

        Returns
        -------
        range
            By copy: its first task.

        Notes
        -----
        What the copies write can be read as items, not as (writer, register).
        """
        self._close_block()
        first, first_item = self.tasks, self._items
        times, items = len(lanes), len(model.rows["out"].ids)
        block = Block(first=first, count=times * model.count, first_item=first_item)
        for name, column in model.columns.items():
            block.columns[name] = column if isinstance(column, int) else np.tile(column, times)
        own = np.broadcast_to(model.columns["actor"], model.count)
        block.columns["actor"] = as_column(np.take(actors, own, axis=1).reshape(-1), wide=False)
        begins = range(first, block.end, max(1, model.count))
        later = narrow(np.array([block.end, *begins]))[1:]
        written = narrow(first_item + items * np.arange(times + 1))[:-1]
        ids: dict[str, Ids] = {
            "lane": np.take(narrow(lanes), model.rows["lane"].ids, axis=1),
            "dep": model.rows["dep"].ids + later[:, None] if deps is None else deps,
            "out": np.take(narrow(registers), model.rows["out"].ids, axis=1),
            "in": model.rows["in"].ids + written[:, None],
        }
        for name, rows in model.rows.items():
            lengths = rows.lengths
            if not isinstance(lengths, int):
                lengths = np.tile(lengths, times)
            block.rows[name] = Rows(lengths=lengths, ids=narrow(ids[name].reshape(-1)))
        self._blocks.append(block)
        self._items += times * items
        return begins

    def _append(
        self,
        row: tuple[int, int, int, int, int],
        lanes: Sequence[int],
        after: Sequence[int],
        reads: Sequence[tuple[int, int]],
        writes: Sequence[int],
    ) -> int:
        task = self.tasks
        self._pending.append(
            task, self._items, row, lanes=lanes, after=after, reads=reads, writes=writes
        )
        self._items += len(writes)
        return task

    def _extend(
        self,
        columns: dict[str, Column],
        lanes: Ids,
        after: Ids | None,
        reads: Ids | None,
        writes: Ids | None,
    ) -> Added:
        self._close_block()
        count, outs = len(lanes), as_table(writes, len(lanes))
        block = Block(first=self.tasks, count=count, first_item=self._items)
        block.columns.update({k: as_column(v, k in WIDE) for k, v in columns.items()})
        block.rows["out"] = rows_of_table(outs, ordered=False)
        ins, deps = as_table(reads, count), as_table(after, count)
        deps = np.hstack([deps, writers_of(ins, [*self._blocks, block])]) if ins.size else deps
        for name, table in (("lane", as_table(lanes, count)), ("dep", deps), ("in", ins)):
            block.rows[name] = rows_of_table(table, ordered=True)
        check_block(block, block.rows["dep"])
        self._blocks.append(block)
        items = np.full(outs.shape, NONE, dtype=np.int64)
        items[outs != NONE] = self._items + np.arange(len(block.rows["out"].ids))
        self._items += len(block.rows["out"].ids)
        return Added(tasks=range(block.first, block.end), items=items)

    def _close_block(self) -> None:
        """Turn the tasks that were added one by one into a block."""
        if self._pending.columns:
            self._blocks.append(self._pending.take(self._first, self._items))

    def build(self) -> TaskGraph:
        """Freeze what was added."""
        self._close_block()
        columns = {name: join_columns(self._blocks, name) for name in COLUMNS}
        rows: dict[str, Ids] = {}
        for name in ("lane", "dep", "out", "in"):
            rows[f"{name}_ptr"], rows[f"{name}_idx"] = join_rows(self._blocks, name)
        routes, caps = self._paths.rows()
        return TaskGraph(
            **once(columns | rows),
            register_slots=narrow(_joined(self._slots)),
            register_bytes=_joined(self._slot_bytes),
            register_device=np.repeat(
                narrow(np.array(self._register_devices, dtype=np.int64)),
                list(map(len, self._slots)),
            ),
            lane_device=narrow(np.array(self._lane_device, dtype=np.int64)),
            link_bytes_per_s=np.array(self._links, dtype=np.float64),
            route_ptr=routes.ptr(len(caps)),
            route_idx=routes.ids,
            route_cap_bytes_per_s=caps,
        )


def _joined(parts: Sequence[Ints]) -> Ints:
    """Return numbers one after the other."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

"""Blocks of tasks: what a graph is built from, one array a column.

A column is one number where all tasks agree, and stays one number in the graph (an array with
stride 0) where all blocks do. Ids are kept in 32 bits where they fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import PlanError

Ids = npt.NDArray[np.signedinteger[Any]]
"""Ids or counts, of 32 bits where they fit."""
Column = int | npt.NDArray[Any]
"""One number for all tasks of a block, or one for each."""

NONE = -1
COLUMNS = ("duration_ps", "payload_bytes", "route", "priority", "actor")
WIDE = ("duration_ps", "payload_bytes")
"""Columns that are always of 64 bits."""
GLANCE = 64
"""Numbers that are looked at before all are."""
_NO_IDS = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows of ids, one after the other."""

    lengths: Column
    ids: Ids

    def ptr(self, count: int) -> Ids:
        """Return where each of ``count`` rows begins, and where the last one ends."""
        if isinstance(self.lengths, int):
            if not self.lengths:
                return np.broadcast_to(np.int32(0), count + 1)
            return narrow(np.arange(0, count * self.lengths + 1, self.lengths))
        width = np.int32 if len(self.ids) < 2**31 else np.int64
        ptr: npt.NDArray[Any] = np.zeros(count + 1, dtype=width)
        np.cumsum(self.lengths, out=ptr[1:])
        return ptr


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some tasks in a row."""

    first: int
    """Id of the first task."""
    count: int
    first_item: int
    """Id of the first item that they write."""
    columns: dict[str, Column] = field(default_factory=dict)
    """By name, see ``COLUMNS``."""
    rows: dict[str, Rows] = field(default_factory=dict)
    """``lane``, ``dep``, ``out``, ``in``."""

    @property
    def end(self) -> int:
        """Id after that of the last task."""
        return self.first + self.count

    def again(self, begin: int, times: int) -> "Block":
        """Return the tasks from place ``begin`` on, so many times, as what follows this block.

        What they wait for and read is as much later each time as they are many.
        """
        ptr = {name: rows.ptr(self.count) for name, rows in self.rows.items()}
        count, items = self.count - begin, int(ptr["out"][-1] - ptr["out"][begin])
        found = Block(
            first=self.end,
            count=count * times,
            first_item=self.first_item + int(ptr["out"][-1]),
        )

        def repeated(column: Column) -> Column:
            return column if isinstance(column, int) else np.tile(column[begin:], times)

        found.columns.update({name: repeated(column) for name, column in self.columns.items()})
        later = np.arange(1, times + 1)[:, None]
        moved = {"dep": count, "in": items}
        for name, rows in self.rows.items():
            ids = rows.ids[ptr[name][begin] :].astype(np.int64) + later * moved.get(name, 0)
            found.rows[name] = Rows(lengths=repeated(rows.lengths), ids=narrow(ids.reshape(-1)))
        return found

    def writer_of(self, items: Ids) -> Ids:
        """Return the tasks that write these items, all of this block."""
        lengths, places = self.rows["out"].lengths, items - self.first_item
        if isinstance(lengths, int):
            return places // lengths + self.first
        return np.repeat(np.arange(self.first, self.end), lengths)[places]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Tasks that come several times, as many each time, with others between."""

    times: int
    count: int
    columns: dict[str, Column]
    """By name: one number, or (times, count)."""
    rows: dict[str, Rows]
    """By name: of all tasks, time after time; one length, or (times, count)."""

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, (times, count)."""
        return np.broadcast_to(self.columns[name], (self.times, self.count))

    def lengths(self, name: str) -> npt.NDArray[Any]:
        """Return the lengths of all rows, (times, count)."""
        return np.broadcast_to(self.rows[name].lengths, (self.times, self.count))

    def turns(self, name: str) -> list[Ids]:
        """Return the ids of the rows of each time."""
        rows = self.rows[name]
        lengths = rows.lengths
        each = self.count * lengths if isinstance(lengths, int) else lengths.sum(axis=1)
        ends = np.cumsum(np.broadcast_to(each, self.times)).tolist()
        return [rows.ids[a:b] for a, b in pairwise([0, *ends])]


def woven(parts: Sequence[Part]) -> tuple[dict[str, Column], dict[str, Rows]]:
    """Return columns and rows of all parts, in turn, time after time."""
    columns: dict[str, Column] = {}
    for name in parts[0].columns:
        every = [part.columns[name] for part in parts]
        same = all(isinstance(each, int) and each == every[0] for each in every)
        joined = np.hstack([part.column(name) for part in parts]).reshape(-1)
        columns[name] = every[0] if same else joined
    rows = {}
    for name in parts[0].rows:
        lengths = np.hstack([part.lengths(name) for part in parts]).reshape(-1)
        turns = zip(*(part.turns(name) for part in parts), strict=True)
        ids = np.concatenate([ids for turn in turns for ids in turn])
        rows[name] = Rows(lengths=_one_or_all(lengths), ids=narrow(ids))
    return columns, rows


def rows_of_lists(rows: Sequence[Sequence[int]]) -> Rows:
    """Return rows given as lists."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    ids = np.fromiter((i for row in rows for i in row), dtype=np.int64, count=int(lengths.sum()))
    return Rows(lengths=_one_or_all(lengths), ids=narrow(ids))


def as_column(values: Any, wide: bool) -> Column:
    """Return a column as one number if it was given as one, else in 64 or fewer bits."""
    if np.ndim(values) == 0:
        return int(values)
    return np.asarray(values, dtype=np.int64) if wide else narrow(np.asarray(values))


def as_table(ids: Ids | None, count: int) -> Ids:
    """Return ids as an array (count, k); given as (count,), k is 1, and it is 0 for None."""
    table = np.zeros((count, 0), dtype=np.int32) if ids is None else np.asarray(ids)
    if table.ndim > 2 or len(table) != count:
        raise PlanError(f"a block of {count} tasks: expected as many rows, got {table.shape}")
    return table.reshape(count, -1) if count else table.reshape(0, 0)


def rows_of_table(table: Ids, *, ordered: bool) -> Rows:
    """Return rows without their ``NONE``; ``ordered``, they ascend and lose what they repeat."""
    there = table != NONE
    if ordered and not (table[:, 1:] > table[:, :-1]).all():
        table = np.sort(table, axis=1)
        there = table != NONE
        there[:, 1:] &= table[:, 1:] != table[:, :-1]
    if there.all():
        return Rows(lengths=table.shape[1], ids=narrow(table.reshape(-1)))
    lengths = there.sum(axis=1, dtype=np.int32)
    return Rows(lengths=_one_or_all(lengths), ids=narrow(table[there]))


def writers_of(items: Ids, blocks: Sequence[Block]) -> Ids:
    """Return the task that writes each item, ``NONE`` for none."""
    where = np.searchsorted([block.first_item for block in blocks[1:]], items, side="right")
    writers = np.full(items.shape, NONE, dtype=np.int64)
    for i, block in enumerate(blocks):
        here = (where == i) & (items != NONE)
        if here.any():
            writers[here] = block.writer_of(items[here])
    return writers


def check_block(block: Block, deps: Rows) -> None:
    """Check what one task at a time checks as well.

    Raises
    ------
    PlanError
        Naming the first task with a problem.
    """
    wrong = np.broadcast_to(block.rows["lane"].lengths, block.count) == 0
    for name in WIDE:
        wrong = wrong | (np.broadcast_to(block.columns[name], block.count) < 0)
    waits = np.broadcast_to(np.not_equal(deps.lengths, 0), block.count)
    some, ids = np.flatnonzero(waits), deps.ids
    if len(some) == len(ids):  # none waits for more than one
        wrong[some[(ids < 0) | (ids >= some + block.first)]] = True
    else:
        ptr = deps.ptr(block.count)
        first, last = ptr[some], ptr[some + 1] - 1
        wrong[some[(ids[first] < 0) | (ids[last] >= some + block.first)]] = True
        rises = np.ones(len(ids), dtype=np.bool_)
        np.greater(ids[1:], ids[:-1], out=rises[1:])
        rises[first] = True
        if not rises.all():
            wrong[some[np.searchsorted(first, np.argmin(rises), side="right") - 1]] = True
    if wrong.any():
        task = block.first + int(np.argmax(wrong))
        raise PlanError(
            f"task {task}: needs a lane, a duration and bytes >= 0, and only earlier dependencies,"
            " ascending"
        )


def narrow(ids: npt.NDArray[Any]) -> Ids:
    """Return ids in 32 bits if they fit."""
    if ids.dtype == np.int32:
        return ids
    limits = np.iinfo(np.int32)
    fits = not ids.size or (ids.min() >= limits.min and ids.max() <= limits.max)
    return ids.astype(np.int32 if fits else np.int64, copy=False)


def join_columns(blocks: Sequence[Block], name: str) -> npt.NDArray[Any]:
    """Return a column of all blocks together."""
    column = _join([block.columns[name] for block in blocks], blocks)
    if isinstance(column, int):
        value = np.array(column) if name in WIDE else narrow(np.array(column))
        return np.broadcast_to(value, sum(block.count for block in blocks))
    return column


def join_rows(blocks: Sequence[Block], name: str) -> tuple[Ids, Ids]:
    """Return rows of all blocks together, as a CSR pair."""
    rows = [block.rows[name] for block in blocks]
    ids = rows[0].ids if len(rows) == 1 else np.concatenate([_NO_IDS, *(r.ids for r in rows)])
    joined = Rows(lengths=_join([r.lengths for r in rows], blocks), ids=ids)
    return joined.ptr(sum(block.count for block in blocks)), ids


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Return blocks that follow one another as one."""
    count = sum(block.count for block in blocks)
    found = Block(first=blocks[0].first, count=count, first_item=blocks[0].first_item)
    for name in blocks[0].columns:
        found.columns[name] = _join([block.columns[name] for block in blocks], blocks)
    for name in blocks[0].rows:
        rows = [block.rows[name] for block in blocks]
        lengths = _join([each.lengths for each in rows], blocks)
        found.rows[name] = Rows(lengths=lengths, ids=np.concatenate([each.ids for each in rows]))
    return found


def _join(columns: Sequence[Column], blocks: Sequence[Block]) -> Column:
    if not columns:
        return 0
    first = columns[0]
    if len(columns) == 1 or (
        isinstance(first, int) and all(isinstance(c, int) and c == first for c in columns)
    ):
        return first
    narrowed = [narrow(np.array(c)) if isinstance(c, int) else c for c in columns]
    parts = [np.broadcast_to(c, block.count) for c, block in zip(narrowed, blocks, strict=True)]
    return np.concatenate(parts)


def once(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return the same arrays, those that are equal as one.

    Where every task holds one lane and writes one register, rows begin alike; where all it waits
    for is what it reads, both are the same ids.
    """
    kept: list[npt.NDArray[Any]] = []
    found = {}
    for name, array in arrays.items():
        found[name] = next((other for other in kept if _equal(other, array)), array)
        if found[name] is array and any(array.strides):
            kept.append(array)
    return found


def _equal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether two arrays are equal; most differ where they begin."""
    begins_alike = one.dtype == other.dtype and np.array_equal(one[:GLANCE], other[:GLANCE])
    return begins_alike and np.array_equal(one, other)


def _one_or_all(lengths: Ids) -> Column:
    if len(lengths) and (lengths != lengths[0]).any():
        return lengths
    return int(lengths[0]) if len(lengths) else 0

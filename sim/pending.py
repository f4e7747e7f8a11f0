"""Tasks that were added one by one to a graph, until they are made a block."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.errors import PlanError
from sim.blocks import COLUMNS, WIDE, Block, as_column, rows_of_lists


@dataclass(slots=True)
class Pending:
    """Rows of tasks; what they wrote stays known when they are a block."""

    columns: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    """By task, in the order of ``sim.blocks.COLUMNS``."""
    lanes: list[tuple[int, ...]] = field(default_factory=list)
    deps: list[tuple[int, ...]] = field(default_factory=list)
    outs: list[tuple[int, ...]] = field(default_factory=list)
    ins: list[tuple[int, ...]] = field(default_factory=list)
    items_of: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """By task and register."""

    def append(
        self,
        task: int,
        first_item: int,
        row: tuple[int, int, int, int, int],
        *,
        lanes: Sequence[int],
        after: Sequence[int],
        reads: Sequence[tuple[int, int]],
        writes: Sequence[int],
    ) -> None:
        """Add a task, which writes the items from ``first_item`` on.

        Raises
        ------
        PlanError
            When it lacks a lane, is shorter than nothing, waits for a later task, or reads what
            nobody wrote.
        """
        deps = sorted({*after, *(writer for writer, _ in reads)})
        is_later = bool(deps) and not 0 <= deps[0] <= deps[-1] < task
        if not lanes or row[0] < 0 or row[1] < 0 or is_later:
            raise PlanError(
                f"task {task}: needs a lane, a duration and bytes >= 0, and only earlier"
                f" dependencies; got lanes {list(lanes)}, {row[0]} ps, {row[1]} B,"
                f" after {deps}"
            )
        unwritten = [pair for pair in reads if pair not in self.items_of]
        if unwritten:
            raise PlanError(
                f"task {task}: reads {unwritten} as (writer, register), but those tasks do not"
                " write those registers; name the register in the `writes` of the writer"
            )
        self.columns.append(row)
        self.lanes.append(tuple(sorted(set(lanes)) if len(lanes) > 1 else lanes))
        self.deps.append(tuple(deps))
        self.ins.append(tuple(sorted({item for pair in reads for item in self.items_of[pair]})))
        self.outs.append(tuple(writes))
        for item, register in enumerate(writes, first_item):
            self.items_of.setdefault((task, register), []).append(item)

    def take(self, first: int, items: int) -> Block:
        """Return these tasks as the block that begins at ``first``; nothing is left.

        ``items`` have been written so far, those of these tasks last.
        """
        block = Block(
            first=first,
            count=len(self.columns),
            first_item=items - sum(map(len, self.outs)),
        )
        columns = np.array(self.columns, dtype=np.int64).T
        for name, column in zip(COLUMNS, columns, strict=True):
            block.columns[name] = as_column(column, name in WIDE)
        rows = {"lane": self.lanes, "dep": self.deps, "out": self.outs, "in": self.ins}
        block.rows.update({name: rows_of_lists(lists) for name, lists in rows.items()})
        self.columns.clear()
        for lists in rows.values():
            lists.clear()
        return block

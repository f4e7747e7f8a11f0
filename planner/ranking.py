"""The rows of a table in the order of an objective, and the front of two: kept while streaming."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.objective import Key, Objective
from planner.table import Block, PlanTable

QUEUE_ROWS = 2048
"""Best rows that one pass over the table keeps."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Queue:
    """Rows, best first: by objective, bound, slots in use, tasks, number."""

    rows: Ints
    value: Floats
    bound_ps: Ints
    slots: Ints
    tasks: Ints
    effort: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, i: int) -> Key:
        """Return what the search compares."""
        return float(self.value[i]), int(self.bound_ps[i])

    def best(self, count: int) -> "Queue":
        """Return the first ``count`` rows in order."""
        order = np.lexsort((self.rows, self.tasks, self.slots, self.bound_ps, self.value))[:count]
        return Queue(**{name: getattr(self, name)[order] for name in self.__slots__})

    def joined(self, other: "Queue") -> "Queue":
        """Return the rows of both."""
        both = {n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in self.__slots__}
        return Queue(**both)


def queue_of(table: PlanTable, block: Block, value: Floats) -> Queue:
    """Return the rows of a block as a queue that is not in order yet."""
    return Queue(
        rows=block.rows,
        value=value,
        bound_ps=block.bound_ps,
        slots=table.slots(block),
        tasks=block.tasks,
        effort=block.effort,
    )


def worth(block: Block) -> Block:
    """Return the rows that can be and are no other row's program."""
    return block.take(block.fits & ~block.spare)


def best_rows(table: PlanTable, objective: Objective, count: int = QUEUE_ROWS) -> Queue:
    """Return the best ``count`` rows that can be, in order; of equal programs one."""
    kept: Queue | None = None
    limit = np.inf
    for block in table.blocks():
        some = worth(block)
        value = objective.of_block(table, some)
        near = value <= limit
        if not near.any():
            continue
        new = queue_of(table, some.take(near), value[near])
        kept = new if kept is None else kept.joined(new)
        if len(kept) > 2 * count:
            kept = kept.best(count)
            limit = float(kept.value[-1])
    if kept is None:
        nothing = np.zeros(0, dtype=np.int64)
        parts: dict[str, Any] = dict.fromkeys(Queue.__slots__, nothing)
        return Queue(**{**parts, "value": np.zeros(0)})
    return kept.best(count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The rows that were not simulated, seen from a key."""

    better: int
    """How many have a smaller key."""
    least: Key | None
    """The smallest key there is."""


def left_over(table: PlanTable, objective: Objective, done: Ints, key: Key) -> Left:
    """Count the rows not in ``done`` whose key is below ``key``."""
    better, least = 0, None
    for block in table.blocks():
        some = worth(block)
        some = some.take(~np.isin(some.rows, done))
        if not len(some.rows):
            continue
        value = objective.of_block(table, some)
        below = (value < key[0]) | ((value == key[0]) & (some.bound_ps < key[1]))
        better += int(np.count_nonzero(below))
        equal = np.flatnonzero(value == value.min())
        found = (float(value[equal[0]]), int(some.bound_ps[equal].min()))
        least = found if least is None else min(least, found)
    return Left(better=better, least=least)


def front(table: PlanTable, first: Objective, second: Objective) -> Queue:
    """Return the rows that no other beats in both objectives, by the first of them, in order."""
    kept: Queue | None = None
    seconds = np.zeros(0)
    for block in table.blocks():
        some = worth(block)
        if not len(some.rows):
            continue
        new = queue_of(table, some, first.of_block(table, some))
        other = second.of_block(table, some)
        if kept is not None:
            new, other = kept.joined(new), np.concatenate([seconds, other])
        order = np.lexsort((new.rows, new.tasks, new.slots, new.bound_ps, other, new.value))
        best_before = np.concatenate([[np.inf], np.minimum.accumulate(other[order])[:-1]])
        chosen = order[other[order] < best_before]
        kept = Queue(**{name: getattr(new, name)[chosen] for name in Queue.__slots__})
        seconds = other[chosen]
    return kept if kept is not None else best_rows(table, first)

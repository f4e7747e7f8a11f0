"""The rows of a table in the order of an objective, and the front of two: kept while streaming.

A section whose passes alone are no better than what is looked for is not priced.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.objective import Key, Objective
from planner.table import Block, PlanTable, Section

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

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, i: int) -> Key:
        """Return what the search compares."""
        return float(self.value[i]), int(self.bound_ps[i])

    def best(self, count: int) -> "Queue":
        """Return the first ``count`` rows in order."""
        order = np.lexsort((self.rows, self.tasks, self.slots, self.bound_ps, self.value))[:count]
        return Queue(**{name: getattr(self, name)[order] for name in self.__slots__})

    def head(self, count: int) -> "Queue":
        """Return the first ``count`` rows as they stand."""
        return Queue(**{name: getattr(self, name)[:count] for name in self.__slots__})

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
    )


def worth(block: Block) -> Block:
    """Return the rows that can be and are no other row's program."""
    return block.take(block.fits & ~block.spare)


def nothing() -> Queue:
    """Return no rows."""
    none = np.zeros(0, dtype=np.int64)
    parts: dict[str, Any] = dict.fromkeys(Queue.__slots__, none)
    return Queue(**{**parts, "value": np.zeros(0)})


def best_rows(table: PlanTable, objective: Objective, count: int = QUEUE_ROWS) -> Queue:
    """Return the best ``count`` rows that can be, in order; of equal programs one."""
    return _with_best(nothing(), table, objective, table.blocks(), count)


def _with_best(
    kept: Queue, table: PlanTable, objective: Objective, blocks: Iterable[Block], count: int
) -> Queue:
    """Return the best ``count`` rows of ``kept`` and of ``blocks``, in order."""
    limit = float(kept.value[-1]) if len(kept) >= count else np.inf
    for block in blocks:
        some = worth(block)
        value = objective.of_block(table, some)
        near = value <= limit
        if not near.any():
            continue
        kept = kept.joined(queue_of(table, some.take(near), value[near]))
        if len(kept) > 2 * count:
            kept = kept.best(count)
            limit = float(kept.value[-1])
    return kept.best(count)


def least_of(table: PlanTable, objective: Objective, section: Section) -> Key | None:
    """Return a key that no row of a section is below, told by its passes; None without a row."""
    found: Key | None = None
    for block in table.blocks_of(section, exact=False):
        some = worth(block)
        if len(some.rows):
            least = float(objective.of_block(table, some).min()), int(some.bound_ps.min())
            found = least if found is None else min(found, least)
    return found


@dataclass(slots=True, kw_only=True)
class Ranking:
    """The rows of a table in order, as far as somebody asks: a section is priced at its turn."""

    table: PlanTable
    objective: Objective
    queue: Queue
    """The best of the sections that are priced."""
    waiting: list[tuple[Key, int, Section]] = field(default_factory=list)
    """The others, the one that may have the best row last."""
    least_tasks: int = 0
    """No row that can be has fewer."""

    @classmethod
    def of(cls, table: PlanTable, objective: Objective) -> "Ranking":
        """Return the ranking of all rows; nothing is priced yet."""
        waiting, tasks = [], [0]
        for place, section in enumerate(table.open_sections()):
            least = least_of(table, objective, section)
            if least is not None:
                waiting.append((least, -place, section))
                tasks.append(int(section.factors["tasks"].table.min()))
        return cls(
            table=table,
            objective=objective,
            queue=nothing(),
            waiting=sorted(waiting, key=lambda entry: entry[:2], reverse=True),
            least_tasks=min(tasks[1:], default=0),
        )

    def reaches(self, place: int) -> bool:
        """Whether there is a row at ``place``; those up to it then stand in the queue."""
        while self.waiting and (place >= len(self.queue) or self._is_open(place)):
            self._price_next()
        return place < len(self.queue)

    def opens(self, value: float) -> bool:
        """Price the section that is next, if it may have a row below ``value``; say whether so."""
        if not self.waiting or self.waiting[-1][0][0] >= value:
            return False
        self._price_next()
        return True

    def near_best(self, factor: float) -> Queue:
        """Return the rows whose objective is at most ``factor`` times the least."""
        self.reaches(0)
        while self.waiting and self.waiting[-1][0][0] <= self.queue.value[0] * factor:
            self._price_next()
        return self.queue.head(int(np.sum(self.queue.value <= self.queue.value[0] * factor)))

    def _is_open(self, place: int) -> bool:
        """Whether a section that is not priced may have a row before this one."""
        return self.waiting[-1][0][0] <= float(self.queue.value[place])

    def _price_next(self) -> None:
        blocks = self.table.blocks_of(self.waiting.pop()[2])
        self.queue = _with_best(self.queue, self.table, self.objective, blocks, QUEUE_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The rows that were not simulated, seen from a key."""

    better: int
    """How many have a smaller key."""
    least: Key | None
    """The smallest key there is."""


def left_over(
    table: PlanTable, objective: Objective, done: Ints, key: Key, upto: Key | None = None
) -> Left:
    """Count the rows not in ``done`` whose key is below ``key``.

    The smallest key is exact where it is below ``key`` or ``upto``, else it is no more than it. A
    section that nobody priced, for it has nothing below ``upto``, is counted by its passes: nobody
    showed that its rows are worse than ``key``.
    """
    better, least = 0, None
    beyond, exact_to = max(key, upto or key), upto or key
    for section in table.open_sections():
        at_best = least_of(table, objective, section)
        if at_best is None or at_best > beyond:
            least = at_best if least is None else min(least, at_best or least)
            continue
        for block in table.blocks_of(section, exact=section.is_priced or at_best <= exact_to):
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

"""Which rows of a ranking are simulated, one after another, and how much work is still to come."""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from planner.certificate import Found
from planner.ranking import Ranking
from sim.engine import choose

EFFORT = 9_000
"""Tasks lowered one by one that a search spends where no budget is given: about a second."""

ALWAYS, MOST_EFFORT = 3, 15_000
"""So many plans are simulated whatever the sum, each of at most so many tasks."""

NEAR_BEST = 1.02
"""Where every program is too large: how far above the least bound the one may be that is tried."""

FEW_DEVICES, SLOW_TASKS = 8, 4_000
"""On more devices flows share links between nodes, and the heap engine takes 25 to 70 us a task, so
from so many tasks on the array engine is loaded (0.1 s), which takes a twentieth of that."""

HEAP_TASKS = 8
"""Tasks that the heap engine simulates in the time in which one is lowered by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row to simulate."""

    row: int
    bound_ps: int
    engine: str
    work: int
    """In tasks that are lowered one by one."""


@dataclass(slots=True, kw_only=True)
class Agenda:
    """The rows of a ranking, until none left can be kept, or budget or effort end.

    Where effort is what counts, a program that is too large for what is left of it is passed over,
    but for the first few; where all that are bounded near the best are too large even for these,
    the smallest of them is taken alone.
    """

    ranking: Ranking
    found: Found
    budget: int | None
    devices: int
    """Of the machine."""
    place: int = 0
    """Of the next row in the queue."""
    left: int = EFFORT
    work: int = 0
    """Done so far."""
    ratios: list[float] = field(default_factory=list)
    """By row simulated: its time over its bound."""

    def __iter__(self) -> Iterator[Entry]:
        if self.budget is None and self.ranking.reaches(0):
            near = self.ranking.near_best(NEAR_BEST)
            if near.effort.min() > MOST_EFFORT:
                yield self._entry(int(np.argmin(near.effort)))
                self.place = len(self.ranking.queue)
                return
        while self.ranking.reaches(self.place):
            queue, place = self.ranking.queue, self.place
            if self.found.is_closed_to(queue.key(place)):
                return
            most = self._most(self.found.simulated, self.left)
            if most < self.ranking.least_effort:
                return
            self.place += 1
            effort = int(queue.effort[place])
            if effort <= most:
                self.left -= effort
                yield self._entry(place)

    def ahead(self) -> int:
        """Return about how much work is to come, if rows exceed their bounds as those before did.

        That is one after another, and then one not at all. Rows that are not priced yet are not
        counted.
        """
        queue, found = self.ranking.queue, self.found
        best = [key[0] for key, _, _ in found.kept[: found.keep]]
        timed = found.objective.name not in ("devices", "memory")
        ratios = cycle([*self.ratios, 1.0] if timed else [1.0])
        columns = (queue.value, queue.effort, queue.tasks)
        rows = zip(*(column[self.place :].tolist() for column in columns), strict=True)
        simulated, left, tasks_before, work = found.simulated, self.left, found.tasks, 0
        for value, effort, tasks in rows:
            most = self._most(simulated, left)
            if most < self.ranking.least_effort or (len(best) >= found.keep and value >= best[-1]):
                break
            if effort > most:
                continue
            work += _work(effort, tasks, self.engine(tasks, tasks_before))
            simulated, left, tasks_before = simulated + 1, left - effort, tasks_before + tasks
            insort(best, value * next(ratios))
            del best[found.keep :]
        return work

    def note(self, entry: Entry, step_ps: int) -> None:
        """Note that a row was simulated, whose step takes so long."""
        self.work += entry.work
        self.ratios.append(step_ps / max(1, entry.bound_ps))

    def _most(self, simulated: int, left: int) -> int:
        """Return how much effort the next row may be; nothing is less than 0."""
        if self.budget is not None:
            return np.iinfo(np.int64).max if simulated < self.budget else -1
        return left if simulated >= ALWAYS else MOST_EFFORT

    def engine(self, tasks: int, before: int) -> str:
        """Return who simulates so many tasks, ``before`` which so many were simulated."""
        slow = self.devices > FEW_DEVICES and before + tasks >= SLOW_TASKS
        return "array" if slow else choose(tasks)

    def _entry(self, place: int) -> Entry:
        queue = self.ranking.queue
        columns = (queue.rows, queue.bound_ps, queue.effort, queue.tasks)
        row, bound_ps, effort, tasks = (int(column[place]) for column in columns)
        engine = self.engine(tasks, self.found.tasks)
        return Entry(row=row, bound_ps=bound_ps, engine=engine, work=_work(effort, tasks, engine))


def _work(effort: int, tasks: int, engine: str) -> int:
    """Return the work of a row: lowering, and simulating where that takes as long."""
    return effort + (tasks // HEAP_TASKS if engine == "heap" else 0)

"""Which rows of a ranking are simulated, one after another, and how much work is still to come.

A bound says what a row takes at least, and where links are shared it may say much too little. So
rows come in the order of what they are expected to take: their bound, times what a row of their
kind exceeded its own by, if one was simulated. Of one kind are rows that differ in slots alone.
Bounds decide which rows cannot be kept, and when all are proved.
"""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.certificate import Found
from planner.ranking import Ranking
from planner.space import SLOTS
from sim.engine import choose

EFFORT = 18_000
"""Work, in tasks lowered one by one, that a search spends where no budget is given: 0.5 s."""

ALWAYS, MOST_EFFORT = 3, 15_000
"""So many plans are simulated whatever the sum, each of at most so many tasks."""

MOST_ALIKE = 4_500
"""In the end rows of the best one's kind are simulated, each of at most so much work: of all they
are the likeliest to be better, by little."""

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
    but for the first few, and at the end for a few that are like the best; where all that are
    bounded near the best are too large even for these, the smallest of them is taken alone.
    """

    ranking: Ranking
    found: Found
    budget: int | None
    devices: int
    """Of the machine."""
    done: set[int] = field(default_factory=set)
    """Rows that were taken, or will not be."""
    left: int = EFFORT
    work: int = 0
    """Done so far."""
    ratios: list[float] = field(default_factory=list)
    """By row simulated: its time over its bound."""
    least_ratio: dict[int, float] = field(default_factory=dict)
    """Of the rows of a kind that were simulated; by the first row of that kind."""

    def __iter__(self) -> Iterator[Entry]:
        if self.budget is None and self.ranking.reaches(0):
            near = self.ranking.near_best(NEAR_BEST)
            if near.effort.min() > MOST_EFFORT:
                self.done.update(self.ranking.queue.rows.tolist())
                yield self._entry(int(np.argmin(near.effort)))
                return
        while (place := self._next()) is not None:
            entry = self._entry(place)
            self.done.add(entry.row)
            self.left -= entry.work
            yield entry

    def _next(self) -> int | None:
        """Return the place of the row that is expected to be the best; None where none is left."""
        while (most := self._most(self.found.simulated, self.left)) >= self.ranking.least_effort:
            places = self._open_places()
            places = places[self._work(places) <= most]
            expected = self._expected(places)
            first = int(np.argmin(expected)) if len(places) else None
            limit = self._kept_values()[self.found.keep - 1 :]
            least = [*limit, *(expected[first : first + 1] if first is not None else ())]
            if not self.ranking.opens(min(least, default=np.inf)):
                if first is not None:
                    return int(places[first])
                break
        return self._like_best()

    def _like_best(self) -> int | None:
        """Return the place of a row of the best one's kind that may be better; None without one."""
        if self.budget is not None or not self.found.kept:
            return None
        value, row = self.found.kept[0][0][0], self.found.kept[0][1]
        places = self._open_places()
        places = places[self.ranking.queue.value[places] < value]
        places = places[self._work(places) <= MOST_ALIKE]
        kinds = self._kinds(np.append(self.ranking.queue.rows[places], row))
        return next(
            (p for p, kind in zip(places.tolist(), kinds, strict=False) if kind == kinds[-1]), None
        )

    def ahead(self) -> int:
        """Return about how much work is to come, if rows exceed their bounds as those before did.

        That is one after another, and then one not at all. Rows that are not priced yet are not
        counted.
        """
        queue, found = self.ranking.queue, self.found
        best = self._kept_values()[: found.keep]
        ratios = cycle([*self.ratios, 1.0] if self._is_timed else [1.0])
        places = self._open_places()
        places = places[np.argsort(self._expected(places), kind="stable")]
        columns = (queue.value, queue.effort, queue.tasks)
        rows = zip(*(column[places].tolist() for column in columns), strict=True)
        simulated, left, tasks_before, work = found.simulated, self.left, found.tasks, 0
        for value, effort, tasks in rows:
            most = self._most(simulated, left)
            if most < self.ranking.least_effort:
                break
            own = _work(effort, tasks, self.engine(tasks, tasks_before))
            if own > most or (len(best) >= found.keep and value >= best[-1]):
                continue
            work += own
            simulated, left, tasks_before = simulated + 1, left - own, tasks_before + tasks
            insort(best, value * next(ratios))
            del best[found.keep :]
        return work

    def note(self, entry: Entry, step_ps: int) -> None:
        """Note that a row was simulated, whose step takes so long."""
        ratio = step_ps / max(1, entry.bound_ps)
        self.work += entry.work
        self.ratios.append(ratio)
        (kind,) = self._kinds(np.array([entry.row]))
        self.least_ratio[kind] = min(ratio, self.least_ratio.get(kind, ratio))

    def _kept_values(self) -> list[float]:
        """Return the objective of the plans kept, ascending."""
        return [key[0] for key, _, _ in self.found.kept]

    def _open_places(self) -> Ints:
        """Return the places of the rows that were not taken and may be kept."""
        queue, found = self.ranking.queue, self.found
        is_open = ~np.isin(queue.rows, list(self.done))
        if len(found.kept) >= found.keep:
            value, step_ps = found.kept[found.keep - 1][0]
            is_open &= (queue.value < value) | ((queue.value == value) & (queue.bound_ps < step_ps))
        return np.flatnonzero(is_open)

    def _expected(self, places: Ints) -> Floats:
        """Return the objective that rows are expected to have."""
        value = self.ranking.queue.value[places]
        if not self._is_timed:
            return value
        kinds = self._kinds(self.ranking.queue.rows[places])
        found: Floats = value * [self.least_ratio.get(kind, 1.0) for kind in kinds]
        return found

    def _kinds(self, rows: Ints) -> list[int]:
        """Return the first row of the kind of each of ``rows``."""
        kinds: list[int] = self.ranking.table.space.first_alike(rows, SLOTS).tolist()
        return kinds

    @property
    def _is_timed(self) -> bool:
        """Whether the objective grows with the time of a step."""
        return self.found.objective.name not in ("devices", "memory")

    def _most(self, simulated: int, left: int) -> int:
        """Return how much work the next row may be; nothing is less than 0."""
        if self.budget is not None:
            return np.iinfo(np.int64).max if simulated < self.budget else -1
        return left if simulated >= ALWAYS else MOST_EFFORT

    def engine(self, tasks: int, before: int) -> str:
        """Return who simulates so many tasks, ``before`` which so many were simulated."""
        slow = self.devices > FEW_DEVICES and before + tasks >= SLOW_TASKS
        return "array" if slow else choose(tasks)

    def _work(self, places: Ints) -> Ints:
        """Return the work of rows, each the next one."""
        queue, before = self.ranking.queue, self.found.tasks
        pairs = zip(queue.effort[places].tolist(), queue.tasks[places].tolist(), strict=True)
        works = [_work(effort, tasks, self.engine(tasks, before)) for effort, tasks in pairs]
        return np.array(works, dtype=np.int64)

    def _entry(self, place: int) -> Entry:
        queue = self.ranking.queue
        columns = (queue.rows, queue.bound_ps, queue.effort, queue.tasks)
        row, bound_ps, effort, tasks = (int(column[place]) for column in columns)
        engine = self.engine(tasks, self.found.tasks)
        return Entry(row=row, bound_ps=bound_ps, engine=engine, work=_work(effort, tasks, engine))


def _work(effort: int, tasks: int, engine: str) -> int:
    """Return the work of a row: lowering, and simulating where that takes as long."""
    return effort + (tasks // HEAP_TASKS if engine == "heap" else 0)

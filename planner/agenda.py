"""Which rows of a ranking are simulated, one after another, and how much work is still to come.

A bound says what a row takes at least, and where links are shared it may say much too little. So
that row comes first from which most is to be gained over the best one for the work it is, as
``planner.outlook`` tells from those that were simulated. On few devices bounds say more: rows come
in their order, times what a row of their kind exceeded its own by, if one was simulated; of one
kind are rows that differ in slots alone. Bounds decide which rows cannot be kept, and when all are
proved.
"""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.certificate import Found
from planner.outlook import Outlook, gains
from planner.ranking import Ranking
from planner.space import SLOTS
from planner.table import Bools
from sim.engine import choose
from sim.timeline import Timeline

EFFORT_US = 700_000
"""Work that a search spends where no budget is given."""
PLAN_US, TASK_US, SOLVED_US, HEAP_TASK_US = 2_300, 0.2, 0.27, 8
"""Work of a plan, of each task, of each flow whose share the array engine works out, and of a task
that the heap engine times: what they took on one core of a Xeon of 2.0 GHz, in microseconds, 10 %
off at the median of 120 plans. It is counted, never timed, so equal inputs give equal plans."""
SOLVED_A_TASK = 0.5
"""Flows worked out by task, before a row of a family was simulated; its rows then do as that one
did. With links that many share it may be twenty."""
FAMILY = ("microbatch", "bucket_bytes", "overlap", *SLOTS)
"""Axes in which rows of a family differ."""

ALWAYS, MOST_US = 3, 300_000
"""So many plans are simulated whatever the sum, each of at most so much work."""

MOST_ALIKE_US = 80_000
"""In the end rows of the best one's kind are simulated, each of at most so much work: of all they
are the likeliest to be better, by little."""

WORTH, WORTH_A_US, PROOF_US = 5e-3, 1e-7, 50_000
"""A search ends when no row is expected to gain so much of the best one's time, or a thousandth by
10 ms of work, unless all that may be better are simulated with so little more work."""

NEAR_BEST = 1.02
"""Where every program is too large: how far above the least bound the one may be that is tried."""

FEW_DEVICES, SLOW_TASKS = 8, 4_000
"""On more devices flows share links between nodes: bounds say little, and the heap engine takes 25
to 70 us a task, so from so many tasks on the array engine is loaded (0.1 s), which takes a
twentieth of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row to simulate."""

    row: int
    bound_ps: int
    tasks: int
    engine: str


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
    left_us: int = EFFORT_US
    work_us: int = 0
    """Done so far."""
    ratios: list[float] = field(default_factory=list)
    """By row simulated: its time over its bound."""
    least_ratio: dict[int, float] = field(default_factory=dict)
    """Of the rows of a kind that were simulated; by the first row of that kind."""
    outlook: Outlook = field(init=False)
    solved: dict[int, float] = field(default_factory=dict)
    """By first row of a family: flows worked out a task, in its last row that was simulated."""

    def __post_init__(self) -> None:
        self.outlook = Outlook(space=self.ranking.table.space)

    def __iter__(self) -> Iterator[Entry]:
        if self.budget is None and self.ranking.reaches(0):
            near = self.ranking.near_best(NEAR_BEST)
            work = self._work(np.arange(len(near)))
            if work.min() > MOST_US:
                self.done.update(self.ranking.queue.rows.tolist())
                yield self._entry(int(np.argmin(work)))
                return
        while (place := self._next()) is not None:
            entry = self._entry(place)
            self.done.add(entry.row)
            yield entry

    def note(self, entry: Entry, timeline: Timeline) -> None:
        """Note what a row that was simulated took."""
        ratio = timeline.makespan_ps / max(1, entry.bound_ps)
        self.ratios.append(ratio)
        self.outlook.note(entry.row, float(np.log(ratio)))
        (kind,) = self._kinds(np.array([entry.row]))
        self.least_ratio[kind] = min(ratio, self.least_ratio.get(kind, ratio))
        rate = timeline.solved / max(1, entry.tasks)
        if entry.engine == "array":
            self.solved[self._family(np.array([entry.row]))[0]] = rate
        work_us = _work_us(entry.tasks, entry.engine, rate)
        self.work_us += work_us
        self.left_us -= work_us

    def _next(self) -> int | None:
        """Return the place of the row that comes next; None where none is left."""
        while True:
            places = self._open_places()
            work = self._work(places)
            most = self._most(self.found.simulated, self.left_us)
            if most < self._least_us:
                break
            gain, expected = self._prospects(places)
            if self._is_over(gain, work):
                break
            within = work <= most
            if not self.ranking.opens(self._limit(expected[within], are_left=len(places) > 0)):
                if not within.any():
                    break
                return int(
                    places[within][self._first(gain[within], expected[within], work[within])]
                )
        return self._like_best()

    def _limit(self, expected: Floats, *, are_left: bool) -> float:
        """Return below what a section that is not priced may come before those of ``expected``.

        Where rows are left that are too large, only what may be the best is looked for.
        """
        values = self._kept_values()
        if not len(expected) and are_left:
            return min(values, default=np.inf)
        return min([*values[self.found.keep - 1 :], *expected], default=np.inf)

    def _prospects(self, places: Ints) -> tuple[Floats, Floats]:
        """Return what rows may gain over the best one, in logarithms, and what they should be.

        Nothing is gained where nothing is simulated yet, where all rows are to be kept, or on few
        devices.
        """
        value, rows = self.ranking.queue.value[places], self.ranking.queue.rows[places]
        none = np.zeros(len(places))
        if not self._is_timed or not len(places):
            return none, value
        if self.devices <= FEW_DEVICES:
            return none, value * [self.least_ratio.get(kind, 1.0) for kind in self._kinds(rows)]
        logs, off = self.outlook.logs_of(rows)
        expected: Floats = value * np.exp(logs)
        if not self.found.kept or self.found.keep > len(self.ranking.queue):
            return none, expected
        return gains(logs, off, np.log(self._kept_values()[0] / value)), expected

    def _first(self, gain: Floats, expected: Floats, work: Ints) -> int:
        """Return which row comes first: by gain for its work, where something is to be gained."""
        return int(np.argmax(gain / np.sqrt(work)) if gain.any() else np.argmin(expected))

    def _is_over(self, gain: Floats, work: Ints) -> bool:
        """Whether no row is worth its work, where it takes long to prove the best one."""
        return bool(gain.any() and not _are_worth(gain, work).any() and self._is_long(gain, work))

    def _is_long(self, gain: Floats, work: Ints) -> bool:
        """Whether a search ends before all rows are simulated that may be better than the best."""
        if self.budget is not None or self.found.simulated < ALWAYS:
            return False
        return bool(work[gain > 0].sum() > PROOF_US)

    def _like_best(self) -> int | None:
        """Return the place of a row of the best one's kind that may be better; None without one."""
        if self.budget is not None or not self.found.kept:
            return None
        value, row = self.found.kept[0][0][0], self.found.kept[0][1]
        places = self._open_places()
        places = places[self.ranking.queue.value[places] < value]
        places = places[self._work(places) <= MOST_ALIKE_US]
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
        gain, expected = self._prospects(places)
        work = self._work(places)
        are_worth = _are_worth(gain, work)
        if self._is_long(gain, np.where(are_worth, 0, work)):
            places, expected = places[are_worth], expected[are_worth]
        places = places[np.argsort(expected, kind="stable")]
        families = self._family(queue.rows[places])
        rows = zip(
            queue.value[places].tolist(), queue.tasks[places].tolist(), families, strict=True
        )
        simulated, left_us, tasks_before, work_us = found.simulated, self.left_us, found.tasks, 0
        for value, tasks, family in rows:
            most = self._most(simulated, left_us)
            if most < self._least_us:
                break
            own_us = self._work_of(tasks, tasks_before, family)
            if own_us > most or (len(best) >= found.keep and value >= best[-1]):
                continue
            work_us += own_us
            simulated, left_us, tasks_before = simulated + 1, left_us - own_us, tasks_before + tasks
            insort(best, value * next(ratios))
            del best[found.keep :]
        return work_us

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

    def _kinds(self, rows: Ints) -> list[int]:
        """Return the first row of the kind of each of ``rows``."""
        kinds: list[int] = self.ranking.table.space.first_alike(rows, SLOTS).tolist()
        return kinds

    @property
    def _is_timed(self) -> bool:
        """Whether the objective grows with the time of a step."""
        return self.found.objective.name not in ("devices", "memory")

    def _most(self, simulated: int, left_us: int) -> int:
        """Return how much work the next row may be; nothing is less than 0."""
        if self.budget is not None:
            return np.iinfo(np.int64).max if simulated < self.budget else -1
        return left_us if simulated >= ALWAYS else MOST_US

    @property
    def _least_us(self) -> int:
        """No row is less work."""
        return _work_us(self.ranking.least_tasks, "array", 0)

    def engine(self, tasks: int, before: int) -> str:
        """Return who simulates so many tasks, ``before`` which so many were simulated."""
        slow = self.devices > FEW_DEVICES and before + tasks >= SLOW_TASKS
        return "array" if slow else choose(tasks)

    def _family(self, rows: Ints) -> list[int]:
        """Return the first row of the family of each of ``rows``."""
        families: list[int] = self.ranking.table.space.first_alike(rows, FAMILY).tolist()
        return families

    def _work(self, places: Ints) -> Ints:
        """Return the work of rows, each the next one."""
        queue, before = self.ranking.queue, self.found.tasks
        pairs = zip(queue.tasks[places].tolist(), self._family(queue.rows[places]), strict=True)
        works = [self._work_of(tasks, before, family) for tasks, family in pairs]
        return np.array(works, dtype=np.int64)

    def _work_of(self, tasks: int, before: int, family: int) -> int:
        solved = self.solved.get(family, SOLVED_A_TASK)
        return _work_us(tasks, self.engine(tasks, before), solved)

    def _entry(self, place: int) -> Entry:
        queue = self.ranking.queue
        row, bound_ps, tasks = (
            int(column[place]) for column in (queue.rows, queue.bound_ps, queue.tasks)
        )
        engine = self.engine(tasks, self.found.tasks)
        return Entry(row=row, bound_ps=bound_ps, tasks=tasks, engine=engine)


def _are_worth(gain: Floats, work: Ints) -> Bools:
    """Return which rows are expected to gain enough for their work."""
    found: Bools = gain > np.minimum(WORTH, WORTH_A_US * work)
    return found


def _work_us(tasks: int, engine: str, solved: float) -> int:
    """Return the work of a row of so many tasks, each with so many flows worked out."""
    a_task = HEAP_TASK_US if engine == "heap" else TASK_US + SOLVED_US * solved
    return round(PLAN_US + a_task * tasks)

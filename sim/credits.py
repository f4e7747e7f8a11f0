"""Do the slots of the registers let every task run: the graph fired without time and lanes."""

from collections import Counter, defaultdict
from heapq import heappop, heappush

import numpy as np

from hwprofiles.errors import DeadlockError
from sim.barriers import awaited_prefixes
from sim.structure import is_among
from sim.taskgraph import TaskGraph
from sim.waits import (
    Label,
    free_slots,
    held_items,
    join_some,
    register_label,
    short_register,
    task_label,
)

Needs = tuple[tuple[int, int], ...]
"""(register, slots) pairs that one task takes."""


def check_credits(
    graph: TaskGraph, label: Label = task_label, name_register: Label = register_label
) -> None:
    """Check that the slots of the registers let every task run.

    Tasks that take no slot fire as soon as they can, the others in the order of their ids. That
    proves a deadlock where the writers of a register run in that order, as the firings of an actor
    do; where they may overtake each other, it reports the hazard that they do not. Lanes cannot
    deadlock: a task takes all of its lanes and slots at once.

    Raises
    ------
    DeadlockError
        Naming the tasks that wait for each other, and the registers between them.
    """
    if _fires_by_id(graph):
        return
    fired = _Firing(graph).run()
    if not all(fired):
        cycle = _credit_cycle(graph, fired, label, name_register)
        raise DeadlockError(
            f"credit cycle of {len(cycle)} tasks: {join_some(cycle)}; give the registers more"
            " slots, or let their readers depend on less"
        )


def _fires_by_id(graph: TaskGraph) -> bool:
    """Whether the slots let all tasks run one by one in the order of their ids, without a doubt.

    Where each writer of a register waits for the one before, nothing is then stuck in another order
    either: of what has not run, the task of the least id finds no fewer slots free than in turn.
    """
    task_of_dep = np.repeat(np.arange(graph.tasks), np.diff(graph.dep_ptr))
    if (graph.dep_idx >= task_of_dep).any():
        return False
    writer, register = graph.item_task(), graph.out_idx.astype(np.int64)
    freed = writer.copy()
    reader = np.repeat(np.arange(graph.tasks), np.diff(graph.in_ptr))
    np.maximum.at(freed, graph.in_idx, reader)
    order = np.lexsort((writer, register))
    same = register[order[1:]] == register[order[:-1]]
    turns = (writer[order[1:]], writer[order[:-1]])
    edges = task_of_dep * graph.tasks + graph.dep_idx
    waits = is_among(turns[0] * graph.tasks + turns[1], edges)
    sure = waits | ~same | (turns[0] == turns[1])
    if not sure.all() and not (sure | (turns[1] < awaited_prefixes(graph)[turns[0]])).all():
        return False
    first, now = register * graph.tasks, register * graph.tasks + writer
    taken, given = np.sort(now), np.sort(first + freed)
    held = np.searchsorted(taken, now, side="right") - np.searchsorted(taken, first)
    returned = np.searchsorted(given, now) - np.searchsorted(given, first)
    return bool((held - returned <= graph.register_slots[register]).all())


class _Firing:
    """The token game: a task that can fire takes its slots and completes at once.

    Tasks with the same needs can fire together, so only the first of them is a candidate.
    """

    def __init__(self, graph: TaskGraph) -> None:
        tasks = range(graph.tasks)
        self.graph = graph
        self.free: list[int] = graph.register_slots.tolist()
        self.needs: list[Needs] = [tuple(sorted(Counter(row).items())) for row in graph.rows("out")]
        self.needing: dict[int, set[Needs]] = defaultdict(set)
        """By register: the needs of the tasks that are ready."""
        self.readers_left = [len(readers) for readers in graph.item_readers()]
        dependencies = graph.rows("dep")
        self.reads = graph.rows("in")
        self.first_item: list[int] = graph.out_ptr.tolist()
        self.register_of: list[int] = graph.out_idx.tolist()
        self.missing = [len(row) for row in dependencies]
        self.dependents: list[list[int]] = [[] for _ in tasks]
        for task, row in enumerate(dependencies):
            for dependency in row:
                self.dependents[dependency].append(task)
        self.ready: dict[Needs, list[int]] = defaultdict(list)
        self.candidates: list[tuple[bool, int]] = []

    def run(self) -> list[bool]:
        """Return which tasks could fire."""
        fired = [False] * self.graph.tasks
        for task, missing in enumerate(self.missing):
            if not missing:
                self.become_ready(task)
        while self.candidates:
            _, task = heappop(self.candidates)
            if fired[task] or not self.fits(self.needs[task]):
                continue
            heappop(self.ready[self.needs[task]])
            if not self.ready[self.needs[task]]:
                for register, _ in self.needs[task]:
                    self.needing[register].discard(self.needs[task])
            fired[task] = True
            self.fire(task)
        return fired

    def fits(self, needs: Needs) -> bool:
        """Whether there are free slots for these needs."""
        return all(self.free[register] >= count for register, count in needs)

    def offer(self, needs: Needs) -> None:
        """Make the first task with these needs a candidate, if there is one and it can fire."""
        if self.ready[needs] and self.fits(needs):
            heappush(self.candidates, (bool(needs), self.ready[needs][0]))

    def become_ready(self, task: int) -> None:
        """Let a task whose dependencies are complete wait for its slots."""
        heappush(self.ready[self.needs[task]], task)
        for register, _ in self.needs[task]:
            self.needing[register].add(self.needs[task])
        self.offer(self.needs[task])

    def fire(self, task: int) -> None:
        """Take the slots of a task, complete it, and see what that lets happen."""
        for register, count in self.needs[task]:
            self.free[register] -= count
        for item in self.reads[task]:
            self.readers_left[item] -= 1
            self.return_slot(item)
        for item in range(self.first_item[task], self.first_item[task + 1]):
            self.return_slot(item)
        for dependent in self.dependents[task]:
            self.missing[dependent] -= 1
            if not self.missing[dependent]:
                self.become_ready(dependent)
        self.offer(self.needs[task])

    def return_slot(self, item: int) -> None:
        """Return the slot of an item that nobody has yet to read."""
        if not self.readers_left[item]:
            register = self.register_of[item]
            self.free[register] += 1
            for needs in self.needing[register]:
                self.offer(needs)


def _credit_cycle(
    graph: TaskGraph, fired: list[bool], label: Label, name_register: Label
) -> list[str]:
    """Walk from a waiting task to what it waits for until the walk closes; return the cycle."""
    held = held_items(graph, fired, fired)
    free = free_slots(graph, held)
    readers = graph.item_readers()
    task = fired.index(False)
    walk: dict[int, str] = {}
    while task not in walk:
        missing = [d for d in graph.row("dep", task) if not fired[d]]
        if missing:
            walk[task] = f"{label(task)} waits for {label(missing[0])}"
            task = missing[0]
            continue
        short = short_register(graph, task, free)
        assert short is not None, "a task with all dependencies and slots would have fired"
        slots, needed = int(graph.register_slots[short]), graph.row("out", task).count(short)
        if needed > slots:
            raise DeadlockError(
                f"{label(task)} can never start: {name_register(short)} has too few slots"
                f" ({slots}, and the task takes {needed} at once); give it at least {needed}"
            )
        item = next(item for item in held if graph.out_idx[item] == short)
        reader = next(r for r in readers[item] if not fired[r])
        walk[task] = (
            f"{label(task)} waits for a slot of {name_register(short)} ({free[short]} of {slots}"
            f" free), held until {label(reader)} has read it"
        )
        task = reader
    return list(walk.values())[list(walk).index(task) :]

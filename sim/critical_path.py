"""The critical path: what the last task waited for, back to the start of the step."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hwprofiles.units import Ints
from sim.blocks import Ids
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline


def critical_path(graph: TaskGraph, timeline: Timeline) -> list[int]:
    """Return the tasks of the critical path, from the task that ends last back to the first.

    Each task is followed by the one that released it: one that ended at the instant at which it
    started and was its dependency, or held one of its lanes, or was the last to read an item of a
    register that it writes. Of several, a dependency goes before a lane, a lane before a slot, and
    then the lowest id. The path of a simulated step reaches its beginning without a gap, so the
    durations on it add up to the makespan; that of a measured one ends at the first gap.
    """
    if not graph.tasks:
        return []
    released = _Releases(graph, timeline)
    last = int(np.argmax(timeline.end_ps))
    path = [last]
    choices = [released.by(last)]
    seen = {last}
    longest = [last]
    # Zero-length tasks of one instant may seem to release each other in a circle. So this is a
    # depth-first search: a branch that ends after the beginning of the step is given up.
    while path and timeline.start_ps[path[-1]] > 0:
        task = next((t for t in choices[-1] if t not in seen), None)
        if task is None:
            longest = list(path) if len(path) > len(longest) else longest
            path.pop()
            choices.pop()
        else:
            seen.add(task)
            path.append(task)
            choices.append(released.by(task))
    return path or longest


class _Releases:
    """Who ended when on which lane, and who gave which slot back when."""

    def __init__(self, graph: TaskGraph, timeline: Timeline) -> None:
        self.graph = graph
        self.start_ps, self.end_ps = timeline.start_ps, timeline.end_ps

    def by(self, task: int) -> Iterator[int]:
        """Yield the tasks that may have released ``task``, best first."""
        now_ps = int(self.start_ps[task])
        waits = self.graph.dep_idx[self.graph.dep_ptr[task] : self.graph.dep_ptr[task + 1]]
        yield from waits[self.end_ps[waits] == now_ps].tolist()
        # Most tasks are released by a dependency, fewer by a lane, and by a slot very few.
        yield from self._on_lanes(self.graph.row("lane", task), now_ps)
        yield from self._of_slots(self.graph.row("out", task), now_ps)

    @cached_property
    def _left(self) -> tuple[Ints, Ids, Ints]:
        """When lanes were left, ascending; which, and by which task."""
        holder = np.repeat(np.arange(self.graph.tasks), np.diff(self.graph.lane_ptr))
        left_ps = self.end_ps[holder]
        order = np.argsort(left_ps, kind="stable")
        return left_ps[order], self.graph.lane_idx[order], holder[order]

    def _on_lanes(self, lanes: list[int], now_ps: int) -> list[int]:
        """Return who left one of these lanes at an instant, ascending."""
        left_ps, lane, holder = self._left
        begin, end = np.searchsorted(left_ps, (now_ps, now_ps + 1))
        some, held = holder[begin:end], lane[begin:end]
        return sorted({task for own in lanes for task in some[held == own].tolist()})

    @cached_property
    def _ended(self) -> tuple[Ints, Ints]:
        """When tasks ended, ascending, and which."""
        order = np.argsort(self.end_ps, kind="stable")
        return self.end_ps[order], order

    @cached_property
    def _read_until_ps(self) -> Ints:
        """By item, -1 where nobody reads it."""
        found = np.full(len(self.graph.out_idx), -1, dtype=np.int64)
        np.maximum.at(found, self.graph.in_idx, np.repeat(self.end_ps, np.diff(self.graph.in_ptr)))
        return found

    def _of_slots(self, registers: list[int], now_ps: int) -> list[int]:
        """Return who gave a slot of these registers back at an instant, ascending.

        That are the last who read an item; the writer, if nobody does.
        """
        if not registers:
            return []
        graph, (end_ps, tasks) = self.graph, self._ended
        begin, end = np.searchsorted(end_ps, (now_ps, now_ps + 1))
        ended = tasks[begin:end]
        read, reader = _entries(graph.in_ptr, ended)
        written, writer = _entries(graph.out_ptr, ended)
        items = np.concatenate([graph.in_idx[read], written])
        until_ps = np.repeat((now_ps, -1), (len(read), len(written)))
        gave = np.isin(graph.out_idx[items], registers) & (self._read_until_ps[items] == until_ps)
        found: list[int] = np.unique(np.concatenate([reader, writer])[gave]).tolist()
        return found


def _entries(ptr: Ids, rows: Ints) -> tuple[Ints, Ints]:
    """Return the places of all that some rows of a CSR pair hold, and whose each is."""
    begins, counts = ptr[rows], ptr[rows + 1] - ptr[rows]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(begins, counts) + within, np.repeat(rows, counts)

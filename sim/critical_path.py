"""The critical path: what the last task waited for, back to the start of the step."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hwprofiles.units import Ints
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
        self.writer = graph.item_task()

    # Most tasks are released by a dependency, so these are seldom wanted all.

    @cached_property
    def lane_task(self) -> Ints:
        return _row_ids(self.graph.lane_ptr)

    @cached_property
    def left_lane(self) -> "_Moments":
        return _Moments(self.graph.lane_idx, self.end_ps[self.lane_task])

    @cached_property
    def reader(self) -> Ints:
        return _row_ids(self.graph.in_ptr)

    @cached_property
    def reader_of(self) -> "_Moments":
        return _Moments(self.graph.in_idx, self.end_ps[self.reader])

    @cached_property
    def gave_slot(self) -> "_Moments":
        returned_ps = np.full(len(self.graph.out_idx), -1, dtype=np.int64)
        np.maximum.at(returned_ps, self.graph.in_idx, self.end_ps[self.reader])
        returned_ps = np.where(returned_ps < 0, self.end_ps[self.writer], returned_ps)
        return _Moments(self.graph.out_idx, returned_ps)

    def by(self, task: int) -> Iterator[int]:
        """Yield the tasks that may have released ``task``, best first."""
        now_ps = int(self.start_ps[task])
        waits = self.graph.dep_idx[self.graph.dep_ptr[task] : self.graph.dep_ptr[task + 1]]
        yield from waits[self.end_ps[waits] == now_ps].tolist()
        holders = [self.left_lane.at(lane, now_ps) for lane in self.graph.row("lane", task)]
        yield from sorted({int(self.lane_task[i]) for some in holders for i in some})
        items = {i for r in self.graph.row("out", task) for i in self.gave_slot.at(r, now_ps)}
        yield from sorted({last for item in items for last in self._last(item, now_ps)})

    def _last(self, item: int, now_ps: int) -> list[int]:
        """Return who read an item last, at ``now_ps``; its writer, if nobody reads it."""
        readers = self.reader_of.at(item, now_ps)
        return [int(self.reader[i]) for i in readers] or [int(self.writer[item])]


class _Moments:
    """Positions by key and time."""

    def __init__(self, keys: Ints, at_ps: Ints) -> None:
        by_time = np.argsort(at_ps, kind="stable")
        own = keys[by_time]
        few = keys.max(initial=0) < 2**16  # then they are counted, not compared
        self.order = by_time[np.argsort(own.astype(np.uint16) if few else own, kind="stable")]
        self.at_ps = at_ps[self.order]
        self.ptr = np.append(0, np.cumsum(np.bincount(keys)))

    def at(self, key: int, now_ps: int) -> list[int]:
        """Return the positions of this key and time, ascending."""
        if key + 1 >= len(self.ptr):
            return []
        begin, end = self.ptr[key], self.ptr[key + 1]
        first, last = begin + np.searchsorted(self.at_ps[begin:end], (now_ps, now_ps + 1))
        found: list[int] = self.order[first:last].tolist()
        return found


def _row_ids(ptr: Ints) -> Ints:
    return np.repeat(np.arange(len(ptr) - 1, dtype=np.int64), np.diff(ptr))

"""The critical path: what the last task waited for, back to the start of the step."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

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
        self.dependencies = graph.rows("dep")
        self.lanes = graph.rows("lane")
        self.registers = [sorted(set(row)) for row in graph.rows("out")]
        self.start_ps: list[int] = timeline.start_ps.tolist()
        self.end_ps: list[int] = timeline.end_ps.tolist()
        self.left_lane: dict[tuple[int, int], list[int]] = defaultdict(list)
        for task, lanes in enumerate(self.lanes):
            for lane in lanes:
                self.left_lane[lane, self.end_ps[task]].append(task)
        self.gave_slot: dict[tuple[int, int], list[int]] = defaultdict(list)
        writers: list[int] = graph.item_task().tolist()
        for item, readers in enumerate(graph.item_readers()):
            holders = readers or [writers[item]]
            returned_ps = max(self.end_ps[task] for task in holders)
            last = [task for task in holders if self.end_ps[task] == returned_ps]
            self.gave_slot[int(graph.out_idx[item]), returned_ps] += last

    def by(self, task: int) -> Iterator[int]:
        """Yield the tasks that may have released ``task``, best first."""
        now_ps = self.start_ps[task]
        yield from (d for d in self.dependencies[task] if self.end_ps[d] == now_ps)
        holders = [self.left_lane.get((lane, now_ps), []) for lane in self.lanes[task]]
        yield from sorted(set().union(*holders))
        readers = [self.gave_slot.get((register, now_ps), []) for register in self.registers[task]]
        yield from sorted(set().union(*readers))

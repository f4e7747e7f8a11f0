"""Tasks that wait for all before an id, as those of a step do for the whole step before it."""

import numpy as np

from hwprofiles.units import Ints
from sim.taskgraph import TaskGraph


def awaited_prefixes(graph: TaskGraph) -> Ints:
    """Return by task an id before which it waits for every task, through others or not; (N,).

    Every task below an id leads to one below it that no other such task waits for, an end. A task
    whose own dependencies name all ends waits for all; so does what waits for that task. Looked at
    are the ids after each dependency, and one chain of what a task waits for, so a task may wait
    for more than is said. Dependencies name earlier tasks, ascending.
    """
    if not len(graph.dep_idx):
        return np.zeros(graph.tasks, dtype=np.int64)
    task = np.repeat(np.arange(graph.tasks), np.diff(graph.dep_ptr))
    found, parent = _named_prefixes(graph, task), _parents(graph, task)
    while True:
        found = np.maximum(found, found[parent])
        further = parent[parent]
        if np.array_equal(further, parent):
            return found
        parent = further


def _parents(graph: TaskGraph, task: Ints) -> Ints:
    """Return by task the last it waits for among those of its lane, else of all; else itself."""
    lane = graph.lane_idx[graph.lane_ptr[1:] - 1]
    same = lane[graph.dep_idx] == lane[task]
    begins = graph.dep_ptr[:-1][np.diff(graph.dep_ptr) > 0]
    best = np.maximum.reduceat(graph.dep_idx + same * graph.tasks, begins) % graph.tasks
    parent = np.arange(graph.tasks)
    parent[task[begins]] = best
    return parent


def _named_prefixes(graph: TaskGraph, task: Ints) -> Ints:
    """Return by task the greatest id whose ends its dependencies name, 0 for none; (N,)."""
    waited = graph.dep_idx.astype(np.int64)
    named = np.arange(len(task)) - graph.dep_ptr[task] + 1  # up to each dependency, with it
    awaited_at = np.full(graph.tasks, graph.tasks)
    np.minimum.at(awaited_at, waited, task)
    awaited = np.bincount(awaited_at, minlength=graph.tasks + 1)[: graph.tasks]
    ends = 1 + np.arange(graph.tasks) - np.cumsum(awaited)  # up to each task, with it
    few = np.flatnonzero(ends[waited] <= named)
    which = np.repeat(np.arange(len(few)), named[few])
    begins = few + 1 - np.cumsum(named[few])
    other = waited[np.arange(len(which)) + begins[which]]
    is_end = awaited_at[other] > waited[few][which]
    some = few[np.bincount(which[is_end], minlength=len(few)) == ends[waited[few]]]
    found = np.zeros(graph.tasks, dtype=np.int64)
    np.maximum.at(found, task[some], waited[some] + 1)
    return found

"""Checks of a task graph before a run: is it well formed, can it finish, what memory does it take.

A graph from ``GraphBuilder`` is well formed and free of dependency cycles by construction; one read
from a file need not be. Index letters as in ``sim.taskgraph``; D is the number of devices.
"""

from itertools import pairwise

import numpy as np

from hwprofiles.errors import DeadlockError, PlanError
from hwprofiles.units import Floats, Ints
from sim.credits import check_credits
from sim.structure import structure_problems
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline
from sim.waits import Label, join_some, register_label, task_label

__all__ = [
    "check_credits",
    "check_dependencies",
    "check_graph",
    "check_structure",
    "peak_live_bytes",
    "static_bytes",
    "static_waste",
]


def check_graph(
    graph: TaskGraph, label: Label = task_label, name_register: Label = register_label
) -> None:
    """Check structure, dependencies and credits; each assumes that the one before it passed."""
    check_structure(graph)
    check_dependencies(graph, label)
    check_credits(graph, label, name_register)


def check_structure(graph: TaskGraph) -> None:
    """Check that ids are in range and quantities make sense.

    Raises
    ------
    PlanError
        Naming all problems at once.
    """
    problems = structure_problems(graph)
    if problems:
        raise PlanError(f"the task graph is not well formed: {'; '.join(problems)}")


def check_dependencies(graph: TaskGraph, label: Label = task_label) -> None:
    """Check that no task waits for itself through its dependencies.

    Raises
    ------
    DeadlockError
        Naming the tasks of one cycle, in the order in which each waits for the next.
    """
    task_of_dep = np.repeat(np.arange(graph.tasks), np.diff(graph.dep_ptr))
    if (graph.dep_idx < task_of_dep).all():
        return
    dependencies = graph.rows("dep")
    missing = [len(row) for row in dependencies]
    dependents: list[list[int]] = [[] for _ in dependencies]
    for task, row in enumerate(dependencies):
        for dependency in row:
            dependents[dependency].append(task)
    done = [task for task, count in enumerate(missing) if not count]
    for task in done:  # grows while it is read
        for dependent in dependents[task]:
            missing[dependent] -= 1
            if not missing[dependent]:
                done.append(dependent)
    if len(done) == graph.tasks:
        return
    # A task that never becomes ready waits for another such task, so this walk must close.
    stuck = next(task for task, count in enumerate(missing) if count)
    walk: dict[int, None] = {}
    while stuck not in walk:
        walk[stuck] = None
        stuck = next(d for d in dependencies[stuck] if missing[d])
    cycle = list(walk)[list(walk).index(stuck) :]
    sentences = [f"{label(a)} waits for {label(b)}" for a, b in pairwise([*cycle, cycle[0]])]
    raise DeadlockError(
        f"dependency cycle of {len(cycle)} tasks: {join_some(sentences)}; remove one of these"
        " dependencies"
    )


def peak_live_bytes(graph: TaskGraph, timeline: Timeline) -> Ints:
    """Return the most bytes alive at once on each device, shape (D,).

    An item lives from the start of its writer to the end of its last reader (of its writer, if
    nobody reads it). A slot that returns at an instant can be taken again at that instant; items
    without extent count at their instant, all together, up to what the registers hold.
    """
    writer = graph.item_task()
    born_ps, dead_ps = timeline.start_ps[writer], timeline.end_ps[writer]
    np.maximum.at(dead_ps, graph.in_idx, np.repeat(timeline.end_ps, np.diff(graph.in_ptr)))
    size = graph.register_bytes[graph.out_idx]
    device = graph.register_device[graph.out_idx].astype(np.int64)
    returns_first = np.where(dead_ps > born_ps, 0, 2)
    at_ps = np.concatenate([born_ps, dead_ps])
    turn = np.concatenate([np.ones_like(born_ps), returns_first])
    change = np.concatenate([size, -size])
    place = np.concatenate([device, device])
    order = _in_order(place, at_ps, turn)
    static = static_bytes(graph)
    peak = np.zeros_like(static)
    # Everything returns, so the running sum is 0 again where the next device begins.
    np.maximum.at(peak, place[order], np.cumsum(change[order]))
    return np.minimum(peak, static)


def _in_order(place: Ints, at_ps: Ints, turn: Ints) -> Ints:
    """Return the positions of changes by place, then time, then which of three turns it is."""
    instants = 3 * (int(at_ps.max(initial=0)) + 1)
    if instants * (int(place.max(initial=0)) + 1) > np.iinfo(np.int64).max:
        return np.lexsort((turn, at_ps, place))
    # much is in order already, which one number for all three lets a merge sort use
    return np.argsort(place * instants + 3 * at_ps + turn, kind="stable")


def static_bytes(graph: TaskGraph) -> Ints:
    """Return the bytes that each device sets aside for its registers, shape (D,)."""
    devices = np.concatenate([graph.lane_device, graph.register_device]).max(initial=-1) + 1
    total = np.zeros(devices, dtype=np.int64)
    np.add.at(total, graph.register_device, graph.register_slots * graph.register_bytes)
    return total


def static_waste(graph: TaskGraph, timeline: Timeline) -> Floats:
    """Return static over peak live bytes of each device, shape (D,); 1 means no waste.

    A device without registers wastes nothing; one whose registers are never written has no live
    bytes to compare with, and its waste is infinite.
    """
    static = static_bytes(graph).astype(np.float64)
    live = peak_live_bytes(graph, timeline).astype(np.float64)
    waste = np.where(static > 0, np.inf, 1.0)
    return np.divide(static, live, out=waste, where=live > 0)

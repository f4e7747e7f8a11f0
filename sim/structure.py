"""Is a task graph well formed: shapes, ids in range, quantities that make sense."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Ints
from sim.taskgraph import NO_ROUTE, TaskGraph

Bools = npt.NDArray[np.bool_]

_PER_TASK = ("payload_bytes", "route", "priority", "actor")
_PER_REGISTER = ("register_bytes", "register_device")


def structure_problems(graph: TaskGraph) -> list[str]:
    """Return what is wrong with a graph, one sentence a problem; empty when it is well formed.

    Ids are looked at only once all shapes are right.
    """
    return _shape_problems(graph) or [
        *_number_problems(graph),
        *_row_problems(graph),
        *_reader_problems(graph),
    ]


def _shape_problems(graph: TaskGraph) -> list[str]:
    """Columns as long as each other, and pointers that rise from 0 to the length of their rows."""
    registers, routes = len(graph.register_slots), len(graph.route_cap_bytes_per_s)
    expected = dict.fromkeys(_PER_TASK, graph.tasks) | dict.fromkeys(_PER_REGISTER, registers)
    problems = [
        f"{name} has {len(getattr(graph, name))} entries, expected {length}"
        for name, length in expected.items()
        if len(getattr(graph, name)) != length
    ]
    rows = {"lane": graph.tasks, "dep": graph.tasks, "out": graph.tasks, "in": graph.tasks}
    for name, count in (rows | {"route": routes}).items():
        ptr, idx = getattr(graph, f"{name}_ptr"), getattr(graph, f"{name}_idx")
        if len(ptr) != count + 1:
            problems.append(f"{name}_ptr has {len(ptr)} entries, expected {count + 1}")
        elif ptr[0] != 0 or ptr[-1] != len(idx) or np.any(np.diff(ptr) < 0):
            problems.append(f"{name}_ptr must rise from 0 to {len(idx)}, the length of {name}_idx")
    return problems


def _number_problems(graph: TaskGraph) -> list[str]:
    """Quantities in range; each entry is (where it is wrong, noun, what was expected)."""
    routes = len(graph.route_cap_bytes_per_s)
    payload, bandwidth = graph.payload_bytes, graph.link_bytes_per_s
    compute = graph.route == NO_ROUTE
    rules: list[tuple[Bools, str, str]] = [
        (graph.duration_ps < 0, "task", "a duration >= 0"),
        (payload < 0, "task", "a payload >= 0"),
        (
            (graph.route < NO_ROUTE) | (graph.route >= routes),
            "task",
            f"a route in -1..{routes - 1}",
        ),
        (compute & (payload > 0), "task", "a route for its payload"),
        (np.diff(graph.lane_ptr) == 0, "task", "at least one lane"),
        (graph.register_slots < 0, "register", "slots >= 0"),
        (graph.register_bytes < 0, "register", "bytes >= 0"),
        (graph.register_device < 0, "register", "a device >= 0"),
        (graph.lane_device < 0, "lane", "a device >= 0"),
        (~((bandwidth > 0) & np.isfinite(bandwidth)), "link", "a finite bandwidth > 0"),
        (np.diff(graph.route_ptr) == 0, "route", "at least one link"),
        (~(graph.route_cap_bytes_per_s > 0), "route", "a cap > 0"),
    ]
    return [_sentence(wrong, noun, expected) for wrong, noun, expected in rules if wrong.any()]


def _row_problems(graph: TaskGraph) -> list[str]:
    """Ids of rows in range; ascending and without repeats where they are sets."""
    sizes = {
        "lane": len(graph.lane_device),
        "dep": graph.tasks,
        "out": len(graph.register_slots),
        "in": len(graph.out_idx),
        "route": len(graph.link_bytes_per_s),
    }
    problems = []
    for name, size in sizes.items():
        ptr, idx = getattr(graph, f"{name}_ptr"), getattr(graph, f"{name}_idx")
        row = _row_ids(ptr)
        noun = "route" if name == "route" else "task"
        outside = (idx < 0) | (idx >= size)
        if outside.any():
            where = np.isin(np.arange(len(ptr) - 1), row[outside])
            problems.append(_sentence(where, noun, f"{name}_idx in 0..{size - 1}"))
        if name in ("lane", "dep", "in"):
            falling = (np.diff(idx) <= 0) & (np.diff(row) == 0)
            where = np.isin(np.arange(len(ptr) - 1), row[1:][falling])
            if where.any():
                problems.append(_sentence(where, noun, f"{name}_idx ascending without repeats"))
    links = [graph.route_idx[a:b].tolist() for a, b in pairwise(graph.route_ptr.tolist())]
    twice = np.array([len(set(row)) < len(row) for row in links], dtype=np.bool_)
    if twice.any():
        problems.append(_sentence(twice, "route", "no link twice"))
    return problems


def _reader_problems(graph: TaskGraph) -> list[str]:
    """Every reader of an item must depend on its writer: nothing else makes it wait."""
    items = len(graph.out_idx)
    if np.any((graph.in_idx < 0) | (graph.in_idx >= items)):
        return []
    reader = _row_ids(graph.in_ptr)
    writer = graph.item_task()[graph.in_idx]
    edges = _row_ids(graph.dep_ptr) * graph.tasks + graph.dep_idx
    alone = ~is_among(reader * graph.tasks + writer, np.sort(edges))
    where = np.isin(np.arange(graph.tasks), reader[alone])
    expected = "a dependency on the writer of every item that it reads"
    return [_sentence(where, "task", expected)] if where.any() else []


def is_among(values: Ints, ascending: Ints) -> Bools:
    """Return which values are in an array that ascends; quicker than a search in any order."""
    if not len(ascending):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: Bools = ascending[at] == values
    return found


def _row_ids(ptr: Ints) -> Ints:
    return np.repeat(np.arange(len(ptr) - 1, dtype=np.int64), np.diff(ptr))


def _sentence(wrong: Bools, noun: str, expected: str) -> str:
    first, count = int(np.argmax(wrong)), int(wrong.sum())
    more = f" and {count - 1} more need" if count > 1 else " needs"
    return f"{noun} {first}{more} {expected}"

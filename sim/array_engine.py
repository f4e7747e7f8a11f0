"""The compiled engine, for large graphs. Semantics in ``sim``, twin of ``heap_engine``.

The same algorithm over flat arrays: ``sim.arrays.state`` says what they hold, ``layout`` fills
them, and ``queues``, ``lanes``, ``events`` and ``flows`` are its parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hwprofiles.units import PS_PER_S, Ints
from sim.arrays.compiled import IDS, TIMES, cached, compiled, inlined, shared, type_of
from sim.arrays.events import next_event
from sim.arrays.flows import join, leave, share_links
from sim.arrays.lanes import become_ready, free_lane, pick_touched, return_slot
from sim.arrays.layout import columns, lay_out
from sim.arrays.state import (
    BEYOND_PS,
    ENDING,
    EVENTS,
    NOW_PS,
    SOLVES,
    TOUCHED_LINKS,
    Columns,
    Ids32,
    State,
)
from sim.fair import NONE
from sim.taskgraph import GraphBuilder, TaskGraph
from sim.timeline import Timeline, too_long
from sim.waits import deadlock

FABRIC = "fabric"
"""Part of an array that grows with lanes, links, routes, registers and queues, not with tasks."""
OF_GRAPH = {
    **dict.fromkeys(("duration_ps", "payload_bytes", "route", "priority", "actor"), "work"),
    **dict.fromkeys(("lane_ptr", "lane_idx"), "lanes"),
    **dict.fromkeys(("dep_ptr", "dep_idx"), "waits"),
    **dict.fromkeys(("out_ptr", "out_idx", "in_ptr", "in_idx"), "items"),
}
OF_STATE = {
    "queue_of": "lanes",
    **dict.fromkeys(("child_ptr", "child_idx"), "waits"),
    **dict.fromkeys(("out_idx", "in_idx", "readers_left"), "items"),
    **dict.fromkeys(("start_ps", "end_ps"), "times"),
}
"""What arrays of graph and state are for, where they grow with tasks."""

share = shared(Columns._fields + State._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a simulation took, exactly."""

    solves: int
    """Components of flows that were solved."""
    held_bytes: Mapping[str, int]
    """All arrays of graph, state and timeline, by part (``OF_GRAPH``)."""


def simulate(graph: TaskGraph) -> Timeline:
    """Return when every task starts and ends.

    Raises
    ------
    DeadlockError
        When tasks are left that can never start.
    PlanError
        When the step is longer than 2**63 picoseconds.
    """
    return simulate_counted(graph)[0]


def simulate_counted(graph: TaskGraph) -> tuple[Timeline, Counts]:
    """Return the timeline, and what it took."""
    state = lay_out(graph)
    read = columns(graph)
    beyond = run_shared(*read, tuple(state))
    if beyond:
        raise too_long(beyond)
    ended = state.end_ps >= 0
    if not ended.all():  # what started has ended, since nothing is left that runs
        raise deadlock(graph, ended.tolist(), ended.tolist())
    counts = Counts(solves=int(state.at[SOLVES]), held_bytes=_held_bytes(graph, read, state))
    return Timeline(start_ps=state.start_ps, end_ps=state.end_ps), counts


def _held_bytes(graph: TaskGraph, read: Columns, state: State) -> dict[str, int]:
    """Return what the arrays take, each counted once, by part."""
    arrays = [(OF_GRAPH.get(f.name, FABRIC), getattr(graph, f.name)) for f in fields(graph)]
    arrays += [(OF_GRAPH[name], column) for name, column in read._asdict().items()]
    arrays += [(OF_STATE.get(name, FABRIC), held) for name, held in state._asdict().items()]
    found, seen = dict.fromkeys((*OF_GRAPH.values(), *OF_STATE.values(), FABRIC), 0), set()
    for part, array in arrays:
        if isinstance(array, np.ndarray) and any(array.strides) and array.ctypes.data not in seen:
            seen.add(array.ctypes.data)
            found[part] += array.nbytes
    return found


@inlined
def finish_reads(s: Any, task: int) -> None:
    """Return the slots of the items that ``task`` was the last to read, or wrote for nobody."""
    for i in range(s.in_ptr[task], s.in_ptr[task + 1]):
        item = s.in_idx[i]
        s.readers_left[item] -= 1
        if not s.readers_left[item]:
            return_slot(s, s.out_idx[item])
    for item in range(s.out_ptr[task], s.out_ptr[task + 1]):
        if not s.readers_left[item]:
            return_slot(s, s.out_idx[item])


@compiled
def complete(s: Any, lane: int) -> None:
    """End a task: lanes, slots and dependents follow."""
    task = s.running[lane]
    s.end_ps[task] = s.at[NOW_PS]
    if s.flowing[lane]:
        leave(s, lane)
    queue = s.queue_of[task]
    for bid in range(s.lane_ptr[queue], s.lane_ptr[queue + 1]):
        free_lane(s, s.lane_idx[bid])
    finish_reads(s, task)
    for i in range(s.child_ptr[task], s.child_ptr[task + 1]):
        child = s.child_idx[i]
        s.start_ps[child] += 1
        if s.start_ps[child] == NONE:
            become_ready(s, child)


@inlined
def end_round(s: Any, ended: int) -> None:
    """Let what ended complete, or flow, and then the lanes pick."""
    for i in range(ended):
        lane = s.ending[i]
        if s.payload_bytes[s.running[lane]] > 0 and not s.flowing[lane]:
            join(s, lane)
        else:
            complete(s, lane)
    s.at[ENDING] = 0
    pick_touched(s)


@compiled
def go_on(s: Any) -> None:
    """Go through one instant: rounds until nothing ends, then the flows."""
    while s.at[ENDING]:
        end_round(s, s.at[ENDING])
    if s.at[TOUCHED_LINKS]:
        share_links(s)


@compiled
def beyond_s(s: Any, lane: int) -> float:
    """Return when a task would end that cannot end within 64 bits, seconds."""
    rest_s = s.duration_ps[s.running[lane]] / PS_PER_S
    if s.flowing[lane]:
        rest_s = s.bytes_left[lane] / s.rate[lane]
    return s.at[NOW_PS] / PS_PER_S + rest_s


@compiled
def run(s: Any) -> float:
    """Run to the end, or until nothing is left that runs; return a time only if it is too long."""
    for task in range(s.tasks):
        if s.start_ps[task] == NONE:
            become_ready(s, task)
    pick_touched(s)
    go_on(s)
    while s.at[EVENTS]:
        now_ps = s.due_ps[s.events[0]]
        if now_ps == BEYOND_PS:
            return beyond_s(s, s.events[0])
        s.at[NOW_PS] = now_ps
        while s.at[EVENTS] and s.due_ps[s.events[0]] == now_ps:
            s.ending[s.at[ENDING]] = next_event(s)
            s.at[ENDING] += 1
        go_on(s)
    return 0.0


@cached(TIMES, TIMES, IDS, IDS, IDS, IDS, type_of(tuple(lay_out(GraphBuilder().build()))))
def run_shared(
    duration_ps: Ints,
    payload_bytes: Ints,
    route: Ids32,
    priority: Ids32,
    out_ptr: Ids32,
    in_ptr: Ids32,
    state: tuple[object, ...],
) -> float:
    """Run on columns and state in one place, so that functions hand on a single address."""
    columns = (duration_ps, payload_bytes, route, priority, out_ptr, in_ptr)
    return run(share(columns + state))

"""The compiled engine, for large graphs. Semantics in ``sim``, twin of ``heap_engine``.

The same algorithm over flat arrays: ``sim.arrays.state`` says what they hold, ``layout`` fills
them, ``run`` goes from event to event, and ``queues``, ``lanes``, ``events`` and ``flows`` are its
parts. Numba is loaded only where the compiled code is not there yet (``sim.arrays.native``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from hwprofiles.units import PS_PER_S
from sim.arrays.layout import lay_out
from sim.arrays.native import Entry
from sim.arrays.state import NOW_PS, SOLVED, SOLVES, State
from sim.fair import NONE
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline, too_long
from sim.waits import deadlock

run = Entry("sim.arrays.run", "run", State)

FABRIC = "fabric"
"""Part of an array that grows with lanes, links, routes, registers and queues, not with tasks."""
OF_GRAPH = {
    **dict.fromkeys(("duration_ps", "payload_bytes", "route", "priority", "actor"), "work"),
    **dict.fromkeys(("lane_ptr", "lane_idx"), "lanes"),
    **dict.fromkeys(("dep_ptr", "dep_idx"), "waits"),
    **dict.fromkeys(("out_ptr", "out_idx", "in_ptr", "in_idx"), "items"),
}
OF_STATE = OF_GRAPH | {
    "queue_of": "lanes",
    **dict.fromkeys(("lane_ptr", "lane_idx"), FABRIC),  # of queues
    **dict.fromkeys(("child_ptr", "child_idx"), "waits"),
    **dict.fromkeys(("out_idx", "in_idx", "readers_left"), "items"),
    **dict.fromkeys(("start_ps", "end_ps"), "times"),
}
"""What arrays of graph and state are for, where they grow with tasks."""


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
    lane = run(state)
    if lane != NONE:
        raise too_long(beyond_s(state, lane))
    ended = state.end_ps >= 0
    if not ended.all():  # what started has ended, since nothing is left that runs
        raise deadlock(graph, ended.tolist(), ended.tolist())
    counts = Counts(solves=int(state.at[SOLVES]), held_bytes=_held_bytes(graph, state))
    solved = int(state.at[SOLVED])
    return Timeline(start_ps=state.start_ps, end_ps=state.end_ps, solved=solved), counts


def beyond_s(state: State, lane: int) -> float:
    """Return when the task of this lane would end, seconds."""
    rest_s = state.duration_ps[state.running[lane]] / PS_PER_S
    if state.flowing[lane]:
        rest_s = state.bytes_left[lane] / state.rate[lane]
    return float(state.at[NOW_PS] / PS_PER_S + rest_s)


def held_bytes(graph: TaskGraph) -> dict[str, int]:
    """Return what a graph takes while it is simulated, by part, without simulating it."""
    return _held_bytes(graph, lay_out(graph))


def _held_bytes(graph: TaskGraph, state: State) -> dict[str, int]:
    """Return what the arrays take, each counted once, by part."""
    arrays = [(OF_GRAPH.get(f.name, FABRIC), getattr(graph, f.name)) for f in fields(graph)]
    arrays += [(OF_STATE.get(name, FABRIC), held) for name, held in state._asdict().items()]
    found, seen = dict.fromkeys((*OF_GRAPH.values(), *OF_STATE.values(), FABRIC), 0), set()
    for part, array in arrays:
        if isinstance(array, np.ndarray) and any(array.strides) and array.ctypes.data not in seen:
            seen.add(array.ctypes.data)
            found[part] += array.nbytes
    return found

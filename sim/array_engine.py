"""The compiled engine, for large graphs. Semantics in ``sim``, twin of ``heap_engine``.

The same algorithm over flat arrays: ``sim.array_state`` says what they hold, ``array_layout`` fills
them, ``array_queues``, ``array_lanes``, ``array_events`` and ``array_flows`` are its parts.
"""

from typing import Any

from hwprofiles.units import PS_PER_S, Ints
from sim.array_events import next_event
from sim.array_flows import join, leave, share_links
from sim.array_lanes import become_ready, free_lane, pick_touched, return_slot
from sim.array_layout import columns, lay_out
from sim.array_state import BEYOND_PS, ENDING, EVENTS, NOW_PS, SOLVES, TOUCHED_LINKS, Columns, Ids, State
from sim.compiled import IDS, TIMES, cached, compiled, inlined, type_of
from sim.fair import NONE
from sim.taskgraph import GraphBuilder, TaskGraph
from sim.timeline import Timeline, too_long
from sim.waits import deadlock


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


def simulate_counted(graph: TaskGraph) -> tuple[Timeline, int]:
    """Return the timeline, and how many components of flows were solved."""
    state = lay_out(graph)
    beyond_s = run(*columns(graph), state)
    if beyond_s:
        raise too_long(beyond_s)
    if (state.end_ps < 0).any():
        ended = (state.end_ps >= 0).tolist()  # nothing is left that runs
        raise deadlock(graph, ended, ended)
    return Timeline(start_ps=state.start_ps, end_ps=state.end_ps), int(state.at[SOLVES])


@inlined
def finish_reads(g: Any, s: Any, task: int) -> None:
    """Return the slots of the items that ``task`` was the last to read, or wrote for nobody."""
    for i in range(g.in_ptr[task], g.in_ptr[task + 1]):
        item = s.in_idx[i]
        s.readers_left[item] -= 1
        if not s.readers_left[item]:
            return_slot(g, s, s.out_idx[item])
    for item in range(g.out_ptr[task], g.out_ptr[task + 1]):
        if not s.readers_left[item]:
            return_slot(g, s, s.out_idx[item])


@compiled
def complete(g: Any, s: Any, lane: int) -> None:
    """End a task: lanes, slots and dependents follow."""
    task = s.running[lane]
    s.end_ps[task] = s.at[NOW_PS]
    if s.flowing[lane]:
        leave(s, lane)
    queue = s.queue_of[task]
    for bid in range(s.lane_ptr[queue], s.lane_ptr[queue + 1]):
        free_lane(g, s, s.lane_idx[bid])
    finish_reads(g, s, task)
    for i in range(s.child_ptr[task], s.child_ptr[task + 1]):
        child = s.child_idx[i]
        s.start_ps[child] += 1
        if s.start_ps[child] == NONE:
            become_ready(g, s, child)


@inlined
def end_round(g: Any, s: Any, ended: int) -> None:
    """Let what ended complete, or flow, and then the lanes pick."""
    for i in range(ended):
        lane = s.ending[i]
        if g.payload_bytes[s.running[lane]] > 0 and not s.flowing[lane]:
            join(g, s, lane)
        else:
            complete(g, s, lane)
    s.at[ENDING] = 0
    pick_touched(g, s)


@compiled
def go_on(g: Any, s: Any) -> None:
    """Go through one instant: rounds until nothing ends, then the flows."""
    while s.at[ENDING]:
        end_round(g, s, s.at[ENDING])
    if s.at[TOUCHED_LINKS]:
        share_links(s)


@compiled
def beyond_s(g: Any, s: Any, lane: int) -> float:
    """Return when a task would end that cannot end within 64 bits, seconds."""
    rest_s = g.duration_ps[s.running[lane]] / PS_PER_S
    if s.flowing[lane]:
        rest_s = s.bytes_left[lane] / s.rate[lane]
    return s.at[NOW_PS] / PS_PER_S + rest_s


@cached(TIMES, TIMES, IDS, IDS, IDS, IDS, type_of(lay_out(GraphBuilder().build())))
def run(
    duration_ps: Ints,
    payload_bytes: Ints,
    route: Ids,
    priority: Ids,
    out_ptr: Ids,
    in_ptr: Ids,
    s: State,
) -> float:
    """Run to the end, or until nothing is left that runs; return a time only if it is too long."""
    g = Columns(duration_ps, payload_bytes, route, priority, out_ptr, in_ptr)
    for task in range(len(s.start_ps)):
        if s.start_ps[task] == NONE:
            become_ready(g, s, task)
    pick_touched(g, s)
    go_on(g, s)
    while s.at[EVENTS]:
        now_ps = s.due_ps[s.events[0]]
        if now_ps == BEYOND_PS:
            return beyond_s(g, s, s.events[0])
        s.at[NOW_PS] = now_ps
        while s.at[EVENTS] and s.due_ps[s.events[0]] == now_ps:
            s.ending[s.at[ENDING]] = next_event(s)
            s.at[ENDING] += 1
        go_on(g, s)
    return 0.0

"""The array engine from the first event to the last, over ``sim.arrays.state.State``."""

from typing import Any

from sim.arrays.compiled import compiled, inlined
from sim.arrays.events import next_event
from sim.arrays.flows import join, leave, share_links
from sim.arrays.lanes import become_ready, free_lane, pick_touched, return_slot
from sim.arrays.state import BEYOND_PS, ENDING, EVENTS, NOW_PS, TOUCHED_LINKS
from sim.fair import NONE


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
def run(s: Any) -> int:
    """Run to the end, or until nothing is left that runs.

    Return ``NONE``, or the first lane of a task that cannot end within 64 bits.
    """
    for task in range(s.tasks):
        if s.start_ps[task] == NONE:
            become_ready(s, task)
    pick_touched(s)
    go_on(s)
    while s.at[EVENTS]:
        now_ps = s.due_ps[s.events[0]]
        if now_ps == BEYOND_PS:
            return int(s.events[0])
        s.at[NOW_PS] = now_ps
        while s.at[EVENTS] and s.due_ps[s.events[0]] == now_ps:
            s.ending[s.at[ENDING]] = next_event(s)
            s.at[ENDING] += 1
        go_on(s)
    return NONE

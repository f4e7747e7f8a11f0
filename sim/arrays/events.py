"""What comes next in the array engine: a heap of the lanes whose tasks run, by when they are due.

Every running task is in it once, under its first lane, so an event that moves leaves no trace.
"""

from typing import Any

from sim.arrays.compiled import compiled, inlined
from sim.arrays.state import EVENTS
from sim.fair import NONE


@inlined
def place_event(s: Any, lane: int, at: int) -> None:
    """Move an event up or down from a place in the heap to where it belongs."""
    due_ps, count = s.due_ps[lane], s.at[EVENTS]
    while at > 0:
        above = s.events[(at - 1) >> 1]
        if s.due_ps[above] <= due_ps:
            break
        s.events[at] = above
        s.event_at[above] = at
        at = (at - 1) >> 1
    while 2 * at + 1 < count:
        below = 2 * at + 1
        if below + 1 < count and s.due_ps[s.events[below + 1]] < s.due_ps[s.events[below]]:
            below += 1
        lane_below = s.events[below]
        if s.due_ps[lane_below] >= due_ps:
            break
        s.events[at] = lane_below
        s.event_at[lane_below] = at
        at = below
    s.events[at] = lane
    s.event_at[lane] = at


@compiled
def wake_at(s: Any, lane: int, due_ps: int) -> None:
    """Set or move the next event of a lane."""
    at = s.event_at[lane]
    if at == NONE:
        at = s.at[EVENTS]
        s.at[EVENTS] += 1
    s.due_ps[lane] = due_ps
    place_event(s, lane, at)


@compiled
def next_event(s: Any) -> int:
    """Take the lane that is due first."""
    lane = s.events[0]
    s.event_at[lane] = NONE
    s.at[EVENTS] -= 1
    if s.at[EVENTS]:
        place_event(s, s.events[s.at[EVENTS]], 0)
    return lane

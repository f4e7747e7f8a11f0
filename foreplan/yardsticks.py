"""What the engines are measured against: the same work without what makes them general.

``list_schedule`` knows durations, dependencies and one lane a task; ``share_flows`` knows one port
on either side of a switch. Both are compiled, both keep the whole schedule, and both give the very
times that the engines give for these graphs.
"""

from typing import Any

import numpy as np

from hwprofiles.units import Ints
from sim.array_state import Ids
from sim.compiled import IDS, TIMES, cached, compiled, type_of


@compiled
def sift_up(key: Any, value: Any, base: int, at: int) -> None:
    """Move the last entry of a heap up to where it belongs."""
    k, v = key[base + at], value[base + at]
    while at > 0:
        above = (at - 1) >> 1
        if key[base + above] < k or (key[base + above] == k and value[base + above] <= v):
            break
        key[base + at], value[base + at] = key[base + above], value[base + above]
        at = above
    key[base + at], value[base + at] = k, v


@compiled
def sift_down(key: Any, value: Any, base: int, count: int) -> None:
    """Put the entry past the end of a heap in the place of its first."""
    k, v, at = key[base + count], value[base + count], 0
    while 2 * at + 1 < count:
        below = 2 * at + 1
        if below + 1 < count:
            one, other = key[base + below], key[base + below + 1]
            if other < one or (other == one and value[base + below + 1] < value[base + below]):
                below += 1
        if k < key[base + below] or (k == key[base + below] and v < value[base + below]):
            break
        key[base + at], value[base + at] = key[base + below], value[base + below]
        at = below
    key[base + at], value[base + at] = k, v


@cached(IDS, IDS, TIMES, IDS, type_of(0), nrt=True)
def list_schedule(
    dep_ptr: Ids, dep_idx: Ids, duration_ps: Ints, lane_of: Ids, lanes: int
) -> tuple[Ints, Ints]:
    """Return start and end of every task: each lane takes the oldest ready one, then the lowest."""
    tasks = len(lane_of)
    missing, child_ptr = np.empty(tasks, np.int32), np.zeros(tasks + 1, np.int32)
    base, waiting = np.zeros(lanes + 1, np.int32), np.zeros(lanes, np.int32)
    for i in range(len(dep_idx)):
        child_ptr[dep_idx[i]] += 1
    for task in range(tasks):
        child_ptr[task + 1] += child_ptr[task]
        base[lane_of[task] + 1] += 1
    for lane in range(lanes):
        base[lane + 1] += base[lane]
    child_idx = np.empty(len(dep_idx), np.int32)
    for task in range(tasks - 1, -1, -1):
        missing[task] = dep_ptr[task + 1] - dep_ptr[task]
        for i in range(dep_ptr[task], dep_ptr[task + 1]):
            child_ptr[dep_idx[i]] -= 1
            child_idx[child_ptr[dep_idx[i]]] = task
    start_ps, end_ps = np.empty(tasks, np.int64), np.empty(tasks, np.int64)
    ready_ps, ready = np.empty(tasks + 1, np.int64), np.empty(tasks + 1, np.int32)
    due_ps, running = np.empty(lanes + 1, np.int64), np.empty(lanes + 1, np.int32)
    busy, touched = np.zeros(lanes, np.bool_), np.empty(lanes + tasks, np.int32)
    events, touches, now_ps = 0, 0, 0
    for task in range(tasks):
        if not missing[task]:
            lane = lane_of[task]
            at = waiting[lane]
            ready_ps[base[lane] + at], ready[base[lane] + at] = 0, task
            waiting[lane] = at + 1
            sift_up(ready_ps, ready, base[lane], at)
    for lane in range(lanes):
        touched[lane] = lane
    touches = lanes
    while True:
        for i in range(touches):
            lane = touched[i]
            if not busy[lane] and waiting[lane]:
                task = ready[base[lane]]
                waiting[lane] -= 1
                sift_down(ready_ps, ready, base[lane], waiting[lane])
                busy[lane] = True
                start_ps[task], end_ps[task] = now_ps, now_ps + duration_ps[task]
                due_ps[events], running[events] = end_ps[task], task
                sift_up(due_ps, running, 0, events)
                events += 1
        touches = 0
        if not events:
            return start_ps, end_ps
        now_ps = due_ps[0]
        while events and due_ps[0] == now_ps:
            task = running[0]
            events -= 1
            sift_down(due_ps, running, 0, events)
            busy[lane_of[task]] = False
            touched[touches] = lane_of[task]
            touches += 1
            for i in range(child_ptr[task], child_ptr[task + 1]):
                child = child_idx[i]
                missing[child] -= 1
                if not missing[child]:
                    lane = lane_of[child]
                    at = waiting[lane]
                    ready_ps[base[lane] + at], ready[base[lane] + at] = now_ps, child
                    waiting[lane] = at + 1
                    sift_up(ready_ps, ready, base[lane], at)
                    touched[touches] = lane
                    touches += 1

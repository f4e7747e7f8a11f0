"""Rows of a task graph turned round and told apart, compiled."""

from typing import Any

from sim.arrays.compiled import compiled, inlined
from sim.arrays.state import LEAST_TABLE, Ids32
from sim.fair import NONE


@compiled
def turn(s: Any) -> int:
    """Turn the dependencies round, and count those that each task misses into ``start_ps``."""
    for task in range(s.tasks):
        for i in range(s.dep_ptr[task], s.dep_ptr[task + 1]):
            s.child_ptr[s.dep_idx[i]] += 1
    for task in range(1, s.tasks + 1):
        s.child_ptr[task] += s.child_ptr[task - 1]
    for task in range(s.tasks - 1, -1, -1):  # rows fill from their ends
        s.start_ps[task] = NONE - (s.dep_ptr[task + 1] - s.dep_ptr[task])
        for i in range(s.dep_ptr[task], s.dep_ptr[task + 1]):
            s.child_ptr[s.dep_idx[i]] -= 1
            s.child_idx[s.child_ptr[s.dep_idx[i]]] = task
    return s.tasks


@inlined
def same_row(ptr: Ids32, idx: Ids32, one: int, other: int) -> bool:
    """Whether two rows are equal."""
    length = ptr[one + 1] - ptr[one]
    if ptr[other + 1] - ptr[other] != length:
        return False
    equal = 0
    while equal < length and idx[ptr[one] + equal] == idx[ptr[other] + equal]:
        equal += 1
    return equal == length


@compiled
def place(s: Any, size: int, task: int) -> int:
    """Return where in an open hash table of this size a task's queue is, or would be."""
    mixed = 0
    for i in range(s.lane_ptr[task], s.lane_ptr[task + 1]):
        mixed = (mixed * 1_000_003 + int(s.lane_idx[i]) + 1) & 0x7FFFFFFF
    for i in range(s.out_ptr[task], s.out_ptr[task + 1]):
        mixed = (mixed * 999_983 + int(s.out_idx[i]) + 1) & 0x7FFFFFFF
    at = (mixed ^ mixed >> 15) & (size - 1)
    while s.table[at]:
        other = s.first[s.table[at] - 1]
        lanes_alike = same_row(s.lane_ptr, s.lane_idx, task, other)
        if lanes_alike and same_row(s.out_ptr, s.out_idx, task, other):
            break
        at = (at + 1) & (size - 1)
    return at


@compiled
def intern(s: Any) -> int:
    """Number the different rows of lanes and registers; return how many there are."""
    count, size = 0, LEAST_TABLE
    for task in range(s.tasks):
        if 2 * count == size:
            size *= 2
            for at in range(size):
                s.table[at] = 0
            for queue in range(count):
                s.table[place(s, size, s.first[queue])] = queue + 1
        at = place(s, size, task)
        if not s.table[at]:
            s.first[count] = task
            count += 1
            s.table[at] = count
        s.queue_of[task] = s.table[at] - 1
    return count

"""Lines of waiting tasks in the array engine: a list for those in order, a heap for others.

Most tasks become ready in the order in which they will start, and go to the end of a list. One that
comes out of order goes to a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, Algorithmica 1,
1986). Both are made of two links by task, kept in ``end_ps`` while the task waits.
"""

from typing import Any

from sim.arrays.compiled import compiled, inlined
from sim.fair import NONE


@inlined
def links(child: int, sibling: int) -> int:
    """Return both links as one negative number; ``NONE`` twice gives ``NONE``."""
    return -1 - (((int(child) + 1) << 32) | (int(sibling) + 1))


@inlined
def child_of(s: Any, task: int) -> int:
    """Return the first task below this one in a heap."""
    return ((-1 - s.end_ps[task]) >> 32) - 1


@inlined
def sibling_of(s: Any, task: int) -> int:
    """Return the task beside this one in a heap, or after it in a list."""
    return ((-1 - s.end_ps[task]) & 0xFFFFFFFF) - 1


@inlined
def goes_before(s: Any, one: int, other: int) -> bool:
    """Whether one waiting task starts before another: by priority, eligible_at, id."""
    if s.priority[one] != s.priority[other]:
        return s.priority[one] < s.priority[other]
    if s.start_ps[one] != s.start_ps[other]:
        return s.start_ps[one] < s.start_ps[other]
    return one < other


@inlined
def meld(s: Any, one: int, other: int) -> int:
    """Join two heaps that have no siblings; return the root."""
    if other == NONE:
        return one
    if one == NONE:
        return other
    if goes_before(s, other, one):
        one, other = other, one
    s.end_ps[other] = links(child_of(s, other), child_of(s, one))
    s.end_ps[one] = links(other, NONE)
    return one


@inlined
def push(s: Any, line: int, task: int) -> None:
    """Put a task, whose ``start_ps`` is its age here, in line."""
    last = s.line_last[line]
    if last == NONE:
        s.line_first[line] = s.line_last[line] = task
    elif goes_before(s, last, task):
        s.end_ps[last] = links(NONE, task)
        s.line_last[line] = task
    else:
        s.line_heap[line] = meld(s, s.line_heap[line], task)


@inlined
def first(s: Any, line: int) -> int:
    """Return the head of a line, or ``NONE``."""
    listed, root = s.line_first[line], s.line_heap[line]
    if root == NONE or (listed != NONE and goes_before(s, listed, root)):
        return listed
    return root


@inlined
def drop(s: Any, line: int, head: int) -> None:
    """Take the head of a line out of it."""
    if head == s.line_first[line]:
        s.line_first[line] = sibling_of(s, head)
        if s.line_first[line] == NONE:
            s.line_last[line] = NONE
    else:
        s.line_heap[line] = without_root(s, head)
    s.end_ps[head] = NONE


@compiled
def without_root(s: Any, root: int) -> int:
    """Return what is left of a heap: its trees melded in pairs, then the pairs, last pair first."""
    paired, tree = NONE, child_of(s, root)
    while tree != NONE:
        beside = sibling_of(s, tree)
        following = NONE
        s.end_ps[tree] = links(child_of(s, tree), NONE)
        if beside != NONE:
            following = sibling_of(s, beside)
            s.end_ps[beside] = links(child_of(s, beside), NONE)
            tree = meld(s, tree, beside)
        s.end_ps[tree] = links(child_of(s, tree), paired)
        paired, tree = tree, following
    heap = NONE
    while paired != NONE:
        following = sibling_of(s, paired)
        s.end_ps[paired] = links(child_of(s, paired), NONE)
        heap = meld(s, heap, paired)
        paired = following
    return heap

"""State of the array engine: everything as flat arrays.

Index letters as in ``sim.taskgraph``, and Q queues, E bids, F flows.

A *queue* holds the ready tasks that have the same lanes and write the same registers, as far as
these may lack slots: they are eligible together, so only its head can start. It has two *lines*,
``2 * queue`` for tasks that became ready while it was open and ``2 * queue + 1`` for those that
waited for it to open. A *bid* is one queue on one of its lanes. A running task is known by the
first of its lanes, so events and flows are numbered by lanes and take no memory per task.

Two columns of the result are used before they hold it, which is all that a task costs beside them:

==================  =========================================  ==================================
task                ``start_ps``                               ``end_ps``
==================  =========================================  ==================================
misses dependencies ``NONE`` - how many                        ``NONE``
is ready            since when it is eligible (0 in the second its links to other tasks of its
                    line: the queue knows)                     line, < 0 (``sim.arrays.queues``)
runs                its start                                  not negative, no meaning
is complete         its start                                  its end
==================  =========================================  ==================================
"""

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Floats, Ints
from sim.arrays.native import ANY_STRIDE

Ids32 = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
AnyIds = Annotated[Ids32, ANY_STRIDE]
AnyTimes = Annotated[Ints, ANY_STRIDE]
AnyFloats = Annotated[Floats, ANY_STRIDE]
"""Columns of a graph, which are taken as they are."""

NOW_PS, EVENTS, TOUCHED_LANES, TOUCHED_LINKS, ENDING, STAMP, SOLVES, SOLVED = range(8)
PLACES = 8
"""Places in ``State.at``: the time, how many are in each list, the last search, how many solves and
of how many flows in sum."""

PARKED = -2
"""Place of a bid that waits for another lane of its queue."""

BEYOND_PS = 2**63 - 1
"""When a task ends that would not end within 64 bits."""

LEAST_TABLE = 64
"""Places in a hash table at first."""


class State(NamedTuple):
    """Columns of the graph, what follows from it, and what changes as time goes on."""

    duration_ps: AnyTimes
    payload_bytes: AnyTimes
    route: AnyIds
    priority: AnyIds
    """(N,)"""
    out_ptr: AnyIds
    in_ptr: AnyIds
    """Of CSR over tasks."""

    tasks: int
    lanes: int
    links: int
    at: Ints
    start_ps: Ints
    end_ps: Ints
    queue_of: Ids32
    child_ptr: Ids32
    child_idx: Ids32
    """CSR over tasks: tasks that depend on it."""
    out_idx: Ids32
    in_idx: Ids32
    readers_left: Ids32
    """(I,) readers of an item that have not completed."""

    lane_ptr: Ids32
    lane_idx: Ids32
    """CSR over queues: lanes; a position in ``lane_idx`` is a bid."""
    need_ptr: Ids32
    need_register: Ids32
    need_count: AnyIds
    """CSR over queues: slots that one task takes of a register that may lack them."""
    user_ptr: Ids32
    user_queue: Ids32
    user_count: AnyIds
    """CSR over registers: queues that take slots of it, and how many."""
    free_slots: Ids32
    short: Ids32
    """(Q,) registers that lack slots; the queue is open when there are none."""
    opened_ps: Ints
    line_first: Ids32
    line_last: Ids32
    line_heap: Ids32
    """(2 Q,) lines: first and last task of the list, root of the heap."""
    posted: Flags
    """(Q,) whether its head may start as far as slots go, and bids for its lanes."""
    head: Ids32
    head_ps: Ints
    """(Q,) the head when it was posted last, and since when it is eligible."""

    busy: Flags
    running: Ids32
    """(L,) task that runs on this lane, where it is the task's first."""
    bids: Ids32
    bids_base: Ids32
    bids_count: Ids32
    """(E,) heaps of bids, one by lane: where it begins, how many it holds."""
    bid_queue: Ids32
    bid_at: Ids32
    """(E,) place in its heap, ``NONE`` or ``PARKED``."""
    parked: Ids32
    next_parked: Ids32
    """(L,) first bid that waits for this lane; (E,) the next."""
    lane_touched: Flags
    touched_lanes: Ids32
    ending: Ids32
    """(L,) lanes whose tasks end in the next round of this instant."""

    due_ps: Ints
    events: Ids32
    event_at: Ids32
    """(L,) heap of the lanes whose tasks run, by when they are due, and places in it."""

    route_ptr: Ids32
    route_idx: Ids32
    route_cap: AnyFloats
    bandwidth: Floats
    hop_bits: int
    crossed: Ids32
    first_on: Ids32
    next_on: Ids32
    previous_on: Ids32
    """Who crosses what, as in ``sim.fair.Sharing``; flows are numbered by lanes."""
    cap: Floats
    left: Floats
    unfixed: Ids32
    due: Ids32
    share: Floats
    tight: Ids32
    fair: Floats
    flowing: Flags
    """(F,) whether this is an active flow."""
    rate: Floats
    since_ps: Ints
    bytes_left: Floats
    link_touched: Flags
    touched_links: Ids32
    flow_seen: Ints
    link_seen: Ints
    """Last search that came by."""
    found_flows: Ids32
    found_links: Ids32


class Dependencies(NamedTuple):
    """CSR over tasks, and room for them the other way round."""

    tasks: int
    dep_ptr: AnyIds
    dep_idx: AnyIds
    start_ps: Ints
    child_ptr: Ids32
    """All 0."""
    child_idx: Ids32


class Held(NamedTuple):
    """Lanes and registers of tasks as CSR, and room for their numbers."""

    tasks: int
    lane_ptr: AnyIds
    lane_idx: AnyIds
    out_ptr: AnyIds
    out_idx: AnyIds
    queue_of: Ids32
    first: Ids32
    """First task of each number."""
    table: Ids32
    """All 0, four times as many as tasks: a hash table of numbers, counted from 1."""

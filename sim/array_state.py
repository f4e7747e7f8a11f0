"""State of the array engine: everything as flat arrays.

Index letters as in ``sim.taskgraph``, and Q queues, E bids, F flows.

A *queue* holds the ready tasks that have the same lanes and write the same registers: they are
eligible together, so only its head can start. It has two *lines*, ``2 * queue`` for tasks that
became ready while it was open and ``2 * queue + 1`` for those that waited for it to open. A *bid*
is one queue on one of its lanes. A running task is known by the first of its lanes, so events and
flows are numbered by lanes and take no memory per task.

Two columns of the result are used before they hold it, which is all that a task costs beside them:

==================  =========================================  ==================================
task                ``start_ps``                               ``end_ps``
==================  =========================================  ==================================
misses dependencies ``NONE`` - how many                        ``NONE``
is ready            since when it is eligible (0 in the second its links to other tasks of its
                    line: the queue knows)                     line, < 0 (``sim.array_queues``)
runs                its start                                  not negative, no meaning
is complete         its start                                  its end
==================  =========================================  ==================================
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Floats, Ints

Ids = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

NOW_PS, EVENTS, TOUCHED_LANES, TOUCHED_LINKS, ENDING, STAMP, SOLVES = range(7)
PLACES = 7
"""Places in ``State.at``: the time, how many are in each list, the last search, how many solves."""

PARKED = -2
"""Place of a bid that waits for another lane of its queue."""

BEYOND_PS = 2**63 - 1
"""When a task ends that would not end within 64 bits."""


class Columns(NamedTuple):
    """Columns of the graph, as the engine reads them: (N,) and CSR over tasks."""

    duration_ps: Ints
    payload_bytes: Ints
    route: Ids
    priority: Ids
    out_ptr: Ids
    in_ptr: Ids


class State(NamedTuple):
    """All else: what follows from the graph, and what changes as time goes on."""

    tasks: int
    lanes: int
    links: int
    at: Ints
    start_ps: Ints
    end_ps: Ints
    queue_of: Ids
    child_ptr: Ids
    child_idx: Ids
    """CSR over tasks: tasks that depend on it."""
    out_idx: Ids
    in_idx: Ids
    readers_left: Ids
    """(I,) readers of an item that have not completed."""

    lane_ptr: Ids
    lane_idx: Ids
    """CSR over queues: lanes; a position in ``lane_idx`` is a bid."""
    need_ptr: Ids
    need_register: Ids
    need_count: Ids
    """CSR over queues: slots that one task takes of a register."""
    user_ptr: Ids
    user_queue: Ids
    user_count: Ids
    """CSR over registers: queues that take slots of it, and how many."""
    free_slots: Ints
    short: Ids
    """(Q,) registers that lack slots; the queue is open when there are none."""
    opened_ps: Ints
    line_first: Ids
    line_last: Ids
    line_heap: Ids
    """(2 Q,) lines: first and last task of the list, root of the heap."""
    posted: Flags
    """(Q,) whether its head may start as far as slots go, and bids for its lanes."""
    head: Ids
    head_ps: Ints
    """(Q,) the head when it was posted last, and since when it is eligible."""

    busy: Flags
    running: Ids
    """(L,) task that runs on this lane, where it is the task's first."""
    bids: Ids
    bids_base: Ids
    bids_count: Ids
    """(E,) heaps of bids, one by lane: where it begins, how many it holds."""
    bid_queue: Ids
    bid_at: Ids
    """(E,) place in its heap, ``NONE`` or ``PARKED``."""
    parked: Ids
    next_parked: Ids
    """(L,) first bid that waits for this lane; (E,) the next."""
    lane_touched: Flags
    touched_lanes: Ids
    ending: Ids
    """(L,) lanes whose tasks end in the next round of this instant."""

    due_ps: Ints
    events: Ids
    event_at: Ids
    """(L,) heap of the lanes whose tasks run, by when they are due, and places in it."""

    route_ptr: Ids
    route_idx: Ids
    route_cap: Floats
    bandwidth: Floats
    hop_bits: int
    crossed: Ids
    first_on: Ids
    next_on: Ids
    previous_on: Ids
    """Who crosses what, as in ``sim.fair.Sharing``; flows are numbered by lanes."""
    cap: Floats
    left: Floats
    unfixed: Ids
    share: Floats
    tight: Ids
    fair: Floats
    flowing: Flags
    """(F,) whether this is an active flow."""
    rate: Floats
    since_ps: Ints
    bytes_left: Floats
    link_touched: Flags
    touched_links: Ids
    flow_seen: Ints
    link_seen: Ints
    """Last search that came by."""
    found_flows: Ids
    found_links: Ids

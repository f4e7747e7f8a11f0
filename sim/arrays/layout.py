"""From a task graph to the state of the array engine, in time and memory linear in the graph."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Ints
from sim.arrays.native import Entry
from sim.arrays.state import LEAST_TABLE, PLACES, Dependencies, Held, Ids32, State
from sim.fair import NONE
from sim.scarce import kept, scarce_items
from sim.taskgraph import TaskGraph

Rows = tuple[Ids32, Ids32]
"""A CSR pair."""

MOST_SLOTS = 2**31 - 1
"""No register is ever written that often."""

turn = Entry("sim.arrays.rows", "turn", Dependencies)
intern = Entry("sim.arrays.rows", "intern", Held)


def lay_out(graph: TaskGraph) -> State:
    """Return the state before time begins."""
    lanes, links = len(graph.lane_device), len(graph.link_bytes_per_s)
    start_ps = np.empty(graph.tasks, dtype=np.int64)
    child_ptr, child_idx = children(_ids(graph.dep_ptr), _ids(graph.dep_idx), start_ps)
    queue_of, (lane_ptr, lane_idx), writes = _queues(graph)
    queues, bids = len(lane_ptr) - 1, len(lane_idx)
    need_ptr, need_register, need_count = _needs(*writes)
    need_queue = np.repeat(np.arange(queues, dtype=np.int32), np.diff(need_ptr))
    by_register = np.argsort(need_register, kind="stable")
    free_slots = _own(np.minimum(graph.register_slots, MOST_SLOTS))
    lacks = need_count > free_slots[need_register]
    in_idx = _own(graph.in_idx)
    hop_bits = (int(np.diff(graph.route_ptr).max(initial=1)) - 1).bit_length()
    crossings = lanes << hop_bits
    return State(
        duration_ps=graph.duration_ps.astype(np.int64, copy=False),
        payload_bytes=graph.payload_bytes.astype(np.int64, copy=False),
        route=_ids(graph.route),
        priority=_ids(_priority(graph)),
        out_ptr=_ids(graph.out_ptr),
        in_ptr=_ids(graph.in_ptr),
        tasks=graph.tasks,
        lanes=lanes,
        links=links,
        at=np.zeros(PLACES, dtype=np.int64),
        start_ps=start_ps,
        end_ps=np.full(graph.tasks, NONE, dtype=np.int64),
        queue_of=queue_of,
        child_ptr=child_ptr,
        child_idx=child_idx,
        out_idx=_own(graph.out_idx),
        in_idx=in_idx,
        readers_left=_own(np.bincount(in_idx, minlength=len(graph.out_idx))),
        lane_ptr=lane_ptr,
        lane_idx=lane_idx,
        need_ptr=need_ptr,
        need_register=need_register,
        need_count=_once(need_count),
        user_ptr=_ptr(np.bincount(need_register, minlength=len(free_slots))),
        user_queue=need_queue[by_register],
        user_count=_once(need_count[by_register]),
        free_slots=free_slots,
        short=_own(np.bincount(need_queue[lacks], minlength=queues)),
        opened_ps=np.zeros(queues, dtype=np.int64),
        line_first=_none(2 * queues),
        line_last=_none(2 * queues),
        line_heap=_none(2 * queues),
        posted=np.zeros(queues, dtype=np.bool_),
        head=_none(queues),
        head_ps=np.zeros(queues, dtype=np.int64),
        busy=np.zeros(lanes, dtype=np.bool_),
        running=_none(lanes),
        bids=_none(bids),
        bids_base=_ptr(np.bincount(lane_idx, minlength=lanes)),
        bids_count=np.zeros(lanes, dtype=np.int32),
        bid_queue=np.repeat(np.arange(queues, dtype=np.int32), np.diff(lane_ptr)),
        bid_at=_none(bids),
        parked=_none(lanes),
        next_parked=_none(bids),
        lane_touched=np.zeros(lanes, dtype=np.bool_),
        touched_lanes=_none(lanes),
        ending=_none(lanes),
        due_ps=np.zeros(lanes, dtype=np.int64),
        events=_none(lanes),
        event_at=_none(lanes),
        route_ptr=_own(graph.route_ptr),
        route_idx=_own(graph.route_idx),
        route_cap=graph.route_cap_bytes_per_s.astype(np.float64, copy=False),
        bandwidth=np.require(graph.link_bytes_per_s, np.float64, ["C", "W"]),
        hop_bits=hop_bits,
        crossed=_none(crossings),
        first_on=_none(links),
        next_on=_none(crossings),
        previous_on=_none(crossings),
        cap=np.zeros(lanes),
        left=np.zeros(links),
        unfixed=np.zeros(links, dtype=np.int32),
        due=np.zeros(links, dtype=np.int32),
        share=np.zeros(links + lanes),
        tight=_none(links + lanes),
        fair=np.zeros(lanes),
        flowing=np.zeros(lanes, dtype=np.bool_),
        rate=np.zeros(lanes),
        since_ps=np.zeros(lanes, dtype=np.int64),
        bytes_left=np.zeros(lanes),
        link_touched=np.zeros(links, dtype=np.bool_),
        touched_links=_none(links),
        flow_seen=np.zeros(lanes, dtype=np.int64),
        link_seen=np.zeros(links, dtype=np.int64),
        found_flows=_none(lanes),
        found_links=_none(links),
    )


def _priority(graph: TaskGraph) -> npt.NDArray[Any]:
    """Return priorities in 32 bits: lanes only compare them, so ranks do as well."""
    if graph.priority.dtype == np.int32:
        return graph.priority
    return np.unique(graph.priority, return_inverse=True)[1]


def children(dep_ptr: Ids32, dep_idx: Ids32, start_ps: Ints) -> Rows:
    """Turn the dependencies round, and count those that each task misses into ``start_ps``."""
    tasks = len(start_ps)
    found = np.zeros(tasks + 1, dtype=np.int32), np.empty(len(dep_idx), dtype=np.int32)
    turn((tasks, dep_ptr, dep_idx, start_ps, *found))
    return found


def _queues(graph: TaskGraph) -> tuple[Ids32, Rows, Rows]:
    """Return the queue of every task; of every queue the lanes, and the registers it may lack."""
    lane_ptr, lane_idx = _ids(graph.lane_ptr), _ids(graph.lane_idx)
    out_ptr, out_idx = map(_ids, kept(graph.out_ptr, graph.out_idx, scarce_items(graph)))
    if not len(out_idx) and len(lane_idx) == graph.tasks:  # one lane each, so it is the queue
        each = np.arange(len(graph.lane_device) + 1, dtype=np.int32)
        return _own(lane_idx), (each, each[:-1].copy()), (np.zeros_like(each), _none(0))
    queue_of, first = (np.empty(graph.tasks, dtype=np.int32) for _ in range(2))
    table = np.zeros(
        max(LEAST_TABLE, 4 * graph.tasks), dtype=np.int32
    )  # untouched, it takes no room
    count = intern((graph.tasks, lane_ptr, lane_idx, out_ptr, out_idx, queue_of, first, table))
    first = first[:count].copy()
    return queue_of, _rows_of(lane_ptr, lane_idx, first), _rows_of(out_ptr, out_idx, first)


def _needs(ptr: Ids32, idx: Ids32) -> tuple[Ids32, Ids32, Ids32]:
    """Return rows of registers ascending and without repeats, and how often each stood there."""
    registers = int(idx.max(initial=0)) + 1
    row = np.repeat(np.arange(len(ptr) - 1, dtype=np.int64), np.diff(ptr))
    pairs, counts = np.unique(row * registers + idx, return_counts=True)
    need_ptr = _ptr(np.bincount(pairs // registers, minlength=len(ptr) - 1))
    return need_ptr, _own(pairs % registers), _own(counts)


def _rows_of(ptr: Ids32, idx: Ids32, rows: Ids32) -> Rows:
    """Return some rows of a CSR pair as one."""
    counts = ptr[rows + 1] - ptr[rows]
    chosen = _ptr(counts)
    within = np.arange(chosen[-1]) - np.repeat(chosen[:-1], counts)
    return chosen, _own(idx[np.repeat(ptr[rows], counts) + within])


def _none(count: int) -> Ids32:
    return np.full(count, NONE, dtype=np.int32)


def _ids(column: npt.NDArray[Any]) -> Ids32:
    """Return ids in 32 bits: the column itself, if it has them."""
    return column.astype(np.int32, copy=False)


def _own(column: npt.NDArray[Any]) -> Ids32:
    """Return ids as a field of the state must be: 32 bits, contiguous, not read-only."""
    return np.require(column, np.int32, ["C", "W"])


def _once(column: Ids32) -> Ids32:
    """Return a column as one number where all are equal."""
    if len(column) and (column == column[0]).all():
        return np.broadcast_to(column[0], len(column))
    return column


def _ptr(counts: npt.NDArray[Any]) -> Ids32:
    ptr = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=ptr[1:])
    return ptr

"""From a task graph to the state of the array engine, in time and memory linear in the graph."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Ints
from sim.arrays.compiled import IDS, OWN_IDS, OWN_TIMES, cached, compiled, inlined
from sim.arrays.state import PLACES, Columns, Ids32, State
from sim.fair import NONE
from sim.taskgraph import TaskGraph

Rows = tuple[Ids32, Ids32]
"""A CSR pair."""


def columns(graph: TaskGraph) -> Columns:
    """Return the columns of a graph, copied only where they are wider than needed."""
    priority: npt.NDArray[Any] = graph.priority
    if priority.dtype != np.int32:  # lanes only compare priorities, so ranks do as well
        _, priority = np.unique(priority, return_inverse=True)
    return Columns(
        duration_ps=graph.duration_ps.astype(np.int64, copy=False),
        payload_bytes=graph.payload_bytes.astype(np.int64, copy=False),
        route=_ids(graph.route),
        priority=_ids(priority),
        out_ptr=_ids(graph.out_ptr),
        in_ptr=_ids(graph.in_ptr),
    )


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
    free_slots = graph.register_slots.astype(np.int64)
    lacks = need_count > free_slots[need_register]
    in_idx = _own(graph.in_idx)
    hop_bits = (int(np.diff(graph.route_ptr).max(initial=1)) - 1).bit_length()
    crossings = lanes << hop_bits
    return State(
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
        need_count=need_count,
        user_ptr=_ptr(np.bincount(need_register, minlength=len(free_slots))),
        user_queue=need_queue[by_register],
        user_count=need_count[by_register],
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
        route_cap=np.require(graph.route_cap_bytes_per_s, np.float64, ["C", "W"]),
        bandwidth=np.require(graph.link_bytes_per_s, np.float64, ["C", "W"]),
        hop_bits=hop_bits,
        crossed=_none(crossings),
        first_on=_none(links),
        next_on=_none(crossings),
        previous_on=_none(crossings),
        cap=np.zeros(lanes),
        left=np.zeros(links),
        unfixed=np.zeros(links, dtype=np.int32),
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


def _queues(graph: TaskGraph) -> tuple[Ids32, Rows, Rows]:
    """Return the queue of every task; of every queue the lanes, and the registers written."""
    lane_ptr, lane_idx = _ids(graph.lane_ptr), _ids(graph.lane_idx)
    if not len(graph.out_idx) and len(lane_idx) == graph.tasks:  # one lane each, so it is the queue
        each = np.arange(len(graph.lane_device) + 1, dtype=np.int32)
        return _own(lane_idx), (each, each[:-1].copy()), (np.zeros_like(each), _none(0))
    out_ptr, out_idx = _ids(graph.out_ptr), _ids(graph.out_idx)
    queue_of = np.empty(graph.tasks, dtype=np.int32)
    first = intern_rows(lane_ptr, lane_idx, out_ptr, out_idx, queue_of)
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


def _ptr(counts: npt.NDArray[Any]) -> Ids32:
    ptr = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=ptr[1:])
    return ptr


@cached(IDS, IDS, OWN_TIMES, nrt=True)
def children(dep_ptr: Ids32, dep_idx: Ids32, start_ps: Ints) -> Rows:
    """Turn the dependencies round, and count those that each task misses into ``start_ps``."""
    tasks = len(start_ps)
    child_ptr = np.zeros(tasks + 1, dtype=np.int32)
    for i in range(len(dep_idx)):
        child_ptr[dep_idx[i]] += 1
    for task in range(1, tasks + 1):
        child_ptr[task] += child_ptr[task - 1]
    child_idx = np.empty(len(dep_idx), dtype=np.int32)
    for task in range(tasks - 1, -1, -1):  # rows fill from their ends
        start_ps[task] = NONE - (dep_ptr[task + 1] - dep_ptr[task])
        for i in range(dep_ptr[task], dep_ptr[task + 1]):
            child_ptr[dep_idx[i]] -= 1
            child_idx[child_ptr[dep_idx[i]]] = task
    return child_ptr, child_idx


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
def place(
    table: Ids32,
    first: Ids32,
    task: int,
    lane_ptr: Ids32,
    lane_idx: Ids32,
    out_ptr: Ids32,
    out_idx: Ids32,
) -> int:
    """Return where in an open hash table a task's queue is, or would be."""
    mixed = 0
    for i in range(lane_ptr[task], lane_ptr[task + 1]):
        mixed = (mixed * 1_000_003 + int(lane_idx[i]) + 1) & 0x7FFFFFFF
    for i in range(out_ptr[task], out_ptr[task + 1]):
        mixed = (mixed * 999_983 + int(out_idx[i]) + 1) & 0x7FFFFFFF
    at = (mixed ^ mixed >> 15) & (len(table) - 1)
    while table[at] != NONE:
        other = first[table[at]]
        if same_row(lane_ptr, lane_idx, task, other) and same_row(out_ptr, out_idx, task, other):
            break
        at = (at + 1) & (len(table) - 1)
    return at


@cached(IDS, IDS, IDS, IDS, OWN_IDS, nrt=True)
def intern_rows(
    lane_ptr: Ids32, lane_idx: Ids32, out_ptr: Ids32, out_idx: Ids32, queue_of: Ids32
) -> Ids32:
    """Number the different rows of lanes and registers; return the first task of each number."""
    table, first = np.full(64, NONE, dtype=np.int32), np.empty(32, dtype=np.int32)
    count = 0
    for task in range(len(queue_of)):
        if count == len(first):  # the table is half full
            first = np.concatenate((first, first))
            table = np.full(2 * len(first), NONE, dtype=np.int32)
            for queue in range(count):
                at = place(table, first, first[queue], lane_ptr, lane_idx, out_ptr, out_idx)
                table[at] = queue
        at = place(table, first, task, lane_ptr, lane_idx, out_ptr, out_idx)
        if table[at] == NONE:
            table[at] = count
            first[count] = task
            count += 1
        queue_of[task] = table[at]
    return first[:count].copy()

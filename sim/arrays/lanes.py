"""Lanes and slots in the array engine: which queue bids for which lane, and who starts.

The head of an open queue is *posted*: it bids for each of its lanes. A bid that surfaces while
another lane of its queue is busy is *parked* at that lane and comes back when that lane is freed.
So a free lane that was not touched in this instant has nothing to start. A closed queue's bids stay
in their heaps, under the key they had, and are dropped when they surface.
"""

from typing import Any

from sim.arrays.compiled import compiled, inlined
from sim.arrays.events import wake_at
from sim.arrays.queues import drop, first, push
from sim.arrays.state import BEYOND_PS, ENDING, NOW_PS, PARKED, TOUCHED_LANES
from sim.fair import NONE


@inlined
def touch_lane(s: Any, lane: int) -> None:
    """Have a lane pick in this round."""
    if not s.lane_touched[lane]:
        s.lane_touched[lane] = True
        s.touched_lanes[s.at[TOUCHED_LANES]] = lane
        s.at[TOUCHED_LANES] += 1


@inlined
def outbids(s: Any, one: int, other: int) -> bool:
    """Whether a lane picks one bid before another: by priority, eligible_at, task id."""
    a, b = s.bid_queue[one], s.bid_queue[other]
    if s.priority[s.head[a]] != s.priority[s.head[b]]:
        return s.priority[s.head[a]] < s.priority[s.head[b]]
    if s.head_ps[a] != s.head_ps[b]:
        return s.head_ps[a] < s.head_ps[b]
    return s.head[a] < s.head[b]


@inlined
def settle(s: Any, lane: int, bid: int, at: int) -> None:
    """Move a bid up or down from a place in the heap of a lane to where it belongs."""
    base, count = s.bids_base[lane], s.bids_count[lane]
    while at > 0 and outbids(s, bid, s.bids[base + (at - 1) // 2]):
        above = s.bids[base + (at - 1) // 2]
        s.bids[base + at] = above
        s.bid_at[above] = at
        at = (at - 1) // 2
    while 2 * at + 1 < count:
        below = 2 * at + 1
        if below + 1 < count and outbids(s, s.bids[base + below + 1], s.bids[base + below]):
            below += 1
        if not outbids(s, s.bids[base + below], bid):
            break
        s.bids[base + at] = s.bids[base + below]
        s.bid_at[s.bids[base + at]] = at
        at = below
    s.bids[base + at] = bid
    s.bid_at[bid] = at


@inlined
def offer(s: Any, bid: int) -> None:
    """Bring a bid to where the key of its queue now belongs, unless it is parked."""
    lane, at = s.lane_idx[bid], s.bid_at[bid]
    if at == PARKED:
        return
    if at == NONE:
        at = s.bids_count[lane]
        s.bids_count[lane] += 1
    settle(s, lane, bid, at)
    touch_lane(s, lane)


@inlined
def take_best(s: Any, lane: int) -> int:
    """Take the best bid from the heap of a lane."""
    base = s.bids_base[lane]
    best = s.bids[base]
    s.bid_at[best] = NONE
    s.bids_count[lane] -= 1
    if s.bids_count[lane]:
        settle(s, lane, s.bids[base + s.bids_count[lane]], 0)
    return best


@compiled
def post(s: Any, queue: int) -> None:
    """Let the head of an open queue bid for its lanes, unless it does already."""
    fresh, waited = first(s, 2 * queue), first(s, 2 * queue + 1)
    head, since_ps = fresh, s.start_ps[fresh] if fresh != NONE else 0
    if waited != NONE:
        opened_ps = s.opened_ps[queue]
        if (
            fresh == NONE
            or s.priority[waited] < s.priority[fresh]
            or (
                s.priority[waited] == s.priority[fresh]
                and (opened_ps < since_ps or (opened_ps == since_ps and waited < fresh))
            )
        ):
            head, since_ps = waited, opened_ps
    if head == NONE or (s.posted[queue] and head == s.head[queue]):
        return
    s.posted[queue] = True
    s.head[queue] = head
    s.head_ps[queue] = since_ps
    for bid in range(s.lane_ptr[queue], s.lane_ptr[queue + 1]):
        offer(s, bid)


@inlined
def become_ready(s: Any, task: int) -> None:
    """Queue a task whose dependencies are complete."""
    queue = s.queue_of[task]
    if s.short[queue]:
        s.start_ps[task] = 0
        push(s, 2 * queue + 1, task)
    else:
        s.start_ps[task] = s.at[NOW_PS]
        push(s, 2 * queue, task)
        post(s, queue)


@inlined
def return_slot(s: Any, register: int) -> None:
    """Give a slot back; queues that lack no other one open."""
    s.free_slots[register] += 1
    for user in range(s.user_ptr[register], s.user_ptr[register + 1]):
        if s.free_slots[register] == s.user_count[user]:
            queue = s.user_queue[user]
            s.short[queue] -= 1
            if not s.short[queue]:
                s.opened_ps[queue] = s.at[NOW_PS]
                post(s, queue)


@inlined
def take_slots(s: Any, register: int, taken: int) -> None:
    """Take slots; queues that now lack one close."""
    before = s.free_slots[register]
    s.free_slots[register] -= taken
    for user in range(s.user_ptr[register], s.user_ptr[register + 1]):
        if before - taken < s.user_count[user] <= before:
            close(s, s.user_queue[user])


@compiled
def close(s: Any, queue: int) -> None:
    """Note one more lack of a queue; all of its tasks lose their age."""
    s.short[queue] += 1
    s.posted[queue] = False
    task = first(s, 2 * queue)
    while task != NONE:
        drop(s, 2 * queue, task)
        s.start_ps[task] = 0
        push(s, 2 * queue + 1, task)
        task = first(s, 2 * queue)


@inlined
def free_lane(s: Any, lane: int) -> None:
    """Let a lane pick again, and the bids that waited for it come back."""
    s.busy[lane] = False
    touch_lane(s, lane)
    bid = s.parked[lane]
    s.parked[lane] = NONE
    while bid != NONE:
        s.bid_at[bid] = NONE
        if s.posted[s.bid_queue[bid]]:
            offer(s, bid)
        bid = s.next_parked[bid]


@inlined
def busy_lane(s: Any, queue: int) -> int:
    """Return the first busy lane of a queue, or ``NONE``."""
    for bid in range(s.lane_ptr[queue], s.lane_ptr[queue + 1]):
        if s.busy[s.lane_idx[bid]]:
            return s.lane_idx[bid]
    return NONE


@compiled
def start(s: Any, queue: int) -> None:
    """Start the head of a queue: take its lanes and slots at once."""
    task, lane = s.head[queue], s.lane_idx[s.lane_ptr[queue]]
    if task == first(s, 2 * queue):
        drop(s, 2 * queue, task)
    else:
        drop(s, 2 * queue + 1, task)
    s.start_ps[task] = s.at[NOW_PS]
    s.end_ps[task] = 0
    s.running[lane] = task
    for bid in range(s.lane_ptr[queue], s.lane_ptr[queue + 1]):
        s.busy[s.lane_idx[bid]] = True
    s.posted[queue] = False
    for need in range(s.need_ptr[queue], s.need_ptr[queue + 1]):
        take_slots(s, s.need_register[need], s.need_count[need])
    if not s.short[queue]:
        post(s, queue)
    if s.duration_ps[task]:
        left_ps = BEYOND_PS - s.at[NOW_PS]
        wake_at(s, lane, s.at[NOW_PS] + min(s.duration_ps[task], left_ps))
    else:
        s.ending[s.at[ENDING]] = lane
        s.at[ENDING] += 1


@compiled
def pick(s: Any, lane: int) -> None:
    """Start the best task that can, if the lane is free."""
    while s.bids_count[lane] and not s.busy[lane]:
        bid = take_best(s, lane)
        queue = s.bid_queue[bid]
        if not s.posted[queue]:
            continue
        taken = busy_lane(s, queue)
        if taken == NONE:
            start(s, queue)
        else:
            s.bid_at[bid] = PARKED
            s.next_parked[bid] = s.parked[taken]
            s.parked[taken] = bid


@compiled
def pick_touched(s: Any) -> None:
    """Let each lane that was touched pick, in lane order."""
    count = s.at[TOUCHED_LANES]
    if count * count > s.lanes:  # too many to sort by insertion: look at all
        for lane in range(s.lanes):
            if s.lane_touched[lane]:
                pick(s, lane)
    else:
        for i in range(1, count):
            lane, at = s.touched_lanes[i], i
            while at and s.touched_lanes[at - 1] > lane:
                s.touched_lanes[at] = s.touched_lanes[at - 1]
                at -= 1
            s.touched_lanes[at] = lane
        for i in range(count):
            pick(s, s.touched_lanes[i])
    for i in range(s.at[TOUCHED_LANES]):
        s.lane_touched[s.touched_lanes[i]] = False
    s.at[TOUCHED_LANES] = 0

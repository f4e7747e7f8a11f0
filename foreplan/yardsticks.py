"""What the array engine is measured against: the same work, and nothing that makes it general.

``list_schedule`` knows durations, dependencies and one lane a task; ``share_ports`` knows flows
between the ports of one switch. Both are compiled, keep the whole schedule, and give the very times
that the engines give.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hwprofiles.units import PS_PER_S, Floats, Ints
from sim.arrays.compiled import (
    IDS,
    OWN_IDS,
    OWN_TIMES,
    TIMES,
    cached,
    compiled,
)
from sim.arrays.flows import fill, finish_ps
from sim.arrays.native import Entry
from sim.arrays.state import Ids32

NEVER_PS = 2**63 - 1


@compiled
def put(keys: Any, values: Any, base: int, count: int, key: int, value: int) -> None:
    """Add to the heap that begins at ``base``: by key, then by value."""
    at = count
    while at > 0:
        above = base + ((at - 1) >> 1)
        if keys[above] < key or (keys[above] == key and values[above] < value):
            break
        keys[base + at], values[base + at] = keys[above], values[above]
        at = (at - 1) >> 1
    keys[base + at], values[base + at] = key, value


@compiled
def take(keys: Any, values: Any, base: int, count: int) -> int:
    """Take the least from the heap that begins at ``base``."""
    least, at = values[base], 0
    key, value = keys[base + count - 1], values[base + count - 1]
    while 2 * at + 1 < count - 1:
        below = 2 * at + 1
        if below + 1 < count - 1:
            one, other = keys[base + below], keys[base + below + 1]
            if other < one or (other == one and values[base + below + 1] < values[base + below]):
                below += 1
        if key < keys[base + below] or (key == keys[base + below] and value < values[base + below]):
            break
        keys[base + at], values[base + at] = keys[base + below], values[base + below]
        at = below
    keys[base + at], values[base + at] = key, value
    return least


@cached(OWN_IDS, OWN_IDS, OWN_TIMES, TIMES, IDS, OWN_IDS, nrt=True)
def list_schedule(
    child_ptr: Ids32,
    child_idx: Ids32,
    start_ps: Ints,
    duration_ps: Ints,
    lane_of: Ids32,
    base: Ids32,
) -> Ints:
    """Return the end of every task; each lane takes the oldest ready task, then the lowest.

    ``start_ps`` counts what a task misses, below -1, and then says when it starts. ``base`` says
    how many tasks the lanes before each lane have.
    """
    tasks, lanes = len(lane_of), len(base) - 1
    end_ps = np.empty(tasks, np.int64)
    ready_ps, ready = np.empty(tasks, np.int64), np.empty(tasks, np.int32)
    waiting, busy = np.zeros(lanes, np.int32), np.zeros(lanes, np.bool_)
    due_ps, running = np.empty(lanes, np.int64), np.empty(lanes, np.int32)
    touched = np.arange(lanes + tasks, dtype=np.int32)
    touches, events, now_ps = lanes, 0, 0
    for task in range(tasks):
        if start_ps[task] == -1:
            lane = lane_of[task]
            put(ready_ps, ready, base[lane], waiting[lane], 0, task)
            waiting[lane] += 1
    while True:
        for i in range(touches):
            lane = touched[i]
            if waiting[lane] and not busy[lane]:
                task = take(ready_ps, ready, base[lane], waiting[lane])
                waiting[lane] -= 1
                busy[lane] = True
                start_ps[task], end_ps[task] = now_ps, now_ps + duration_ps[task]
                put(due_ps, running, 0, events, end_ps[task], task)
                events += 1
        if not events:
            return end_ps
        now_ps, touches = due_ps[0], 0
        while events and due_ps[0] == now_ps:
            task = take(due_ps, running, 0, events)
            events -= 1
            busy[lane_of[task]] = False
            touched[touches] = lane_of[task]
            touches += 1
            for i in range(child_ptr[task], child_ptr[task + 1]):
                child = child_idx[i]
                start_ps[child] += 1
                if start_ps[child] == -1:
                    lane = lane_of[child]
                    put(ready_ps, ready, base[lane], waiting[lane], now_ps, child)
                    waiting[lane] += 1
                    touched[touches] = lane
                    touches += 1


class Ports(NamedTuple):
    """Flows over a switch. Link ``port`` leads into it, ``ports + port`` out of it.

    The first fields are those of ``sim.fair.Sharing``. A flow has a place in flight; ``sent`` says
    how many flows that place has seen end.
    """

    links: int
    found_flows: Ids32
    found_links: Ids32
    hop_bits: int
    crossed: Ids32
    first_on: Ids32
    next_on: Ids32
    cap: Floats
    bandwidth: Floats
    left: Floats
    unfixed: Ids32
    due: Ids32
    share: Floats
    tight: Ids32
    fair: Floats
    messages: int
    """Flows that each place sees."""
    places: int
    destination: Ids32
    payload_bytes: Ints
    """By flow: those of a place in a row."""
    end_ps: Ints
    sent: Ids32
    rate: Floats
    since_ps: Ints
    bytes_left: Floats
    due_ps: Ints
    stamp: Ints
    flow_seen: Ints
    link_seen: Ints


@compiled
def enter(s: Any, place: int, now_ps: int) -> None:
    """Begin the next flow of a place; it comes from the same port as the last one."""
    flow = place * s.messages + s.sent[place]
    s.crossed[2 * place + 1] = s.links // 2 + s.destination[flow]
    for crossing in range(2 * place, 2 * place + 2):
        s.next_on[crossing] = s.first_on[s.crossed[crossing]]
        s.first_on[s.crossed[crossing]] = crossing
    s.rate[place], s.since_ps[place] = 0.0, now_ps
    s.bytes_left[place] = s.payload_bytes[flow]


@compiled
def depart(s: Any, place: int) -> None:
    """Take the flow of a place off its links."""
    for crossing in range(2 * place, 2 * place + 2):
        link = s.crossed[crossing]
        if s.first_on[link] == crossing:
            s.first_on[link] = s.next_on[crossing]
        else:
            before = s.first_on[link]
            while s.next_on[before] != crossing:
                before = s.next_on[before]
            s.next_on[before] = s.next_on[crossing]


@compiled
def spread(s: Any, links: int) -> int:
    """Find what is joined to the links found so far; solve it; return how many flows it has."""
    flows, done = 0, 0
    while done < links:
        crossing = s.first_on[s.found_links[done]]
        done += 1
        while crossing >= 0:
            place = crossing >> 1
            if s.flow_seen[place] != s.stamp[0]:
                s.flow_seen[place] = s.stamp[0]
                s.found_flows[flows] = place
                flows += 1
                links = find(s, s.crossed[2 * place], links)
                links = find(s, s.crossed[2 * place + 1], links)
            crossing = s.next_on[crossing]
    fill(flows, links, s)
    return flows


@compiled
def find(s: Any, link: int, links: int) -> int:
    """Add a link that somebody crosses to those found, once; return how many there are."""
    if s.link_seen[link] == s.stamp[0] or s.first_on[link] < 0:
        return links
    s.link_seen[link] = s.stamp[0]
    s.found_links[links] = link
    return links + 1


@compiled
def settle(s: Any, flows: int, now_ps: int) -> None:
    """Give the flows found their new rates and finishes."""
    for i in range(flows):
        place = s.found_flows[i]
        if s.fair[place] != s.rate[place]:
            s.bytes_left[place] -= s.rate[place] * (now_ps - s.since_ps[place]) / PS_PER_S
            s.since_ps[place] = now_ps
            s.rate[place] = s.fair[place]
            s.due_ps[place] = finish_ps(s.bytes_left[place], s.rate[place], now_ps)


@compiled
def turn_over(s: Any, now_ps: int) -> int:
    """End the flows that are due and begin those that follow; find and count what is touched."""
    for place in range(s.places):
        if s.due_ps[place] == now_ps:
            depart(s, place)
    links = 0
    for place in range(s.places):
        if s.due_ps[place] == now_ps:
            s.due_ps[place] = NEVER_PS
            s.end_ps[place * s.messages + s.sent[place]] = now_ps
            s.sent[place] += 1
            left_link = s.crossed[2 * place + 1]
            if s.sent[place] < s.messages:
                enter(s, place, now_ps)
                links = find(s, s.crossed[2 * place + 1], links)
            links = find(s, s.crossed[2 * place], links)
            links = find(s, left_link, links)
    return links


@compiled
def run_ports(s: Any) -> int:
    """Go from end to end of a flow, and solve the component that it touches."""
    now_ps, links = 0, 0
    for place in range(s.places):
        enter(s, place, now_ps)
    for place in range(s.places):
        links = find(s, s.crossed[2 * place], links)
        links = find(s, s.crossed[2 * place + 1], links)
    while True:
        settle(s, spread(s, links), now_ps)
        now_ps = NEVER_PS
        for place in range(s.places):
            now_ps = min(now_ps, s.due_ps[place])
        if now_ps == NEVER_PS:
            return s.places
        s.stamp[0] += 1
        links = turn_over(s, now_ps)


def ports(
    ports: int, in_flight: int, destination: Ids32, payload_bytes: Ints, bytes_per_s: float
) -> Ports:
    """Return a switch before its first flow; port by port, place by place, flow by flow."""
    places, links = ports * in_flight, 2 * ports
    crossed = np.full(2 * places, -1, dtype=np.int32)
    crossed[::2] = np.repeat(np.arange(ports), in_flight)
    return Ports(
        links=links,
        found_flows=np.zeros(places, dtype=np.int32),
        found_links=np.zeros(links, dtype=np.int32),
        hop_bits=1,
        crossed=crossed,
        first_on=np.full(links, -1, dtype=np.int32),
        next_on=np.full(2 * places, -1, dtype=np.int32),
        cap=np.full(places, np.inf),
        bandwidth=np.full(links, bytes_per_s),
        left=np.zeros(links),
        unfixed=np.zeros(links, dtype=np.int32),
        due=np.zeros(links, dtype=np.int32),
        share=np.zeros(links + places),
        tight=np.zeros(links + places, dtype=np.int32),
        fair=np.zeros(places),
        messages=len(destination) // max(1, places),
        places=places,
        destination=destination,
        payload_bytes=payload_bytes,
        end_ps=np.zeros(len(destination), dtype=np.int64),
        sent=np.zeros(places, dtype=np.int32),
        rate=np.zeros(places),
        since_ps=np.zeros(places, dtype=np.int64),
        bytes_left=np.zeros(places),
        due_ps=np.full(places, NEVER_PS, dtype=np.int64),
        stamp=np.ones(1, dtype=np.int64),
        flow_seen=np.zeros(places, dtype=np.int64),
        link_seen=np.zeros(links, dtype=np.int64),
    )


share_ports = Entry("foreplan.yardsticks", "run_ports", Ports, of=(Path(__file__),))
"""Set when each flow ends; the flows of a place follow each other without a pause."""

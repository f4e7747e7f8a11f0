"""Flows in the array engine: who is on which link, and what an event changes of their rates.

A touched link leads to its connected component, and each component is solved by itself. A flow is
numbered by its lane, a crossing ``lane << hop_bits | hop`` is in the list of its link.
"""

from typing import Any

from hwprofiles.units import PS_PER_S
from sim import fair
from sim.arrays.compiled import compiled, inlined, with_parts
from sim.arrays.events import wake_at
from sim.arrays.state import BEYOND_PS, NOW_PS, SOLVED, SOLVES, STAMP, TOUCHED_LINKS
from sim.fair import NONE

LAST_FLOAT_PS = 9.223372036854e18
"""Below it, an instant rounded to a float is below ``BEYOND_PS``."""

_sink = compiled(fair.sink)
fill = compiled(
    with_parts(
        fair.fill,
        open_links=compiled(fair.open_links),
        sink=_sink,
        pop_tied=compiled(with_parts(fair.pop_tied, sink=_sink)),
        fix=compiled(fair.fix),
        settle=compiled(fair.settle),
    )
)
finish_ps = compiled(fair.finish_ps)


@inlined
def touch_link(s: Any, link: int) -> None:
    """Have a link shared anew at the end of this instant."""
    if not s.link_touched[link]:
        s.link_touched[link] = True
        s.touched_links[s.at[TOUCHED_LINKS]] = link
        s.at[TOUCHED_LINKS] += 1


@compiled
def join(s: Any, flow: int) -> None:
    """Make a transfer whose overhead is over an active flow."""
    task = s.running[flow]
    route = s.route[task]
    s.flowing[flow] = True
    s.rate[flow] = 0.0
    s.since_ps[flow] = s.at[NOW_PS]
    s.bytes_left[flow] = s.payload_bytes[task]
    s.cap[flow] = s.route_cap[route]
    crossing, end = flow << s.hop_bits, (flow + 1) << s.hop_bits
    for i in range(s.route_ptr[route], s.route_ptr[route + 1]):
        link = s.route_idx[i]
        following = s.first_on[link]
        s.crossed[crossing] = link
        s.next_on[crossing] = following
        s.previous_on[crossing] = NONE
        if following != NONE:
            s.previous_on[following] = crossing
        s.first_on[link] = crossing
        touch_link(s, link)
        crossing += 1
    if crossing < end:
        s.crossed[crossing] = NONE


@compiled
def leave(s: Any, flow: int) -> None:
    """Take a flow that has finished off its links."""
    s.flowing[flow] = False
    for crossing in range(flow << s.hop_bits, (flow + 1) << s.hop_bits):
        link = s.crossed[crossing]
        if link == NONE:
            break
        before, following = s.previous_on[crossing], s.next_on[crossing]
        if before == NONE:
            s.first_on[link] = following
        else:
            s.next_on[before] = following
        if following != NONE:
            s.previous_on[following] = before
        touch_link(s, link)


@compiled
def share_links(s: Any) -> None:
    """Solve the touched components again; flows whose rate changed get a new finish."""
    s.at[STAMP] += 1
    for i in range(s.at[TOUCHED_LINKS]):
        link = s.touched_links[i]
        s.link_touched[link] = False
        if s.link_seen[link] != s.at[STAMP] and s.first_on[link] != NONE:
            solve(s, link)
    s.at[TOUCHED_LINKS] = 0


@compiled
def solve(s: Any, link: int) -> None:
    """Share the links of one component."""
    s.at[SOLVES] += 1
    flows, links = component(s, link)
    s.at[SOLVED] += flows
    if flows == 1:
        alone(s, s.found_flows[0])
    else:
        fill(flows, links, s)
    for i in range(flows):
        flow = s.found_flows[i]
        if s.fair[flow] != s.rate[flow]:
            change_rate(s, flow)


@inlined
def alone(s: Any, flow: int) -> None:
    """Give a flow that shares nothing all that its links have."""
    s.fair[flow] = s.cap[flow]
    for crossing in range(flow << s.hop_bits, (flow + 1) << s.hop_bits):
        if s.crossed[crossing] == NONE:
            break
        s.fair[flow] = min(s.fair[flow], s.bandwidth[s.crossed[crossing]])


@inlined
def component(s: Any, link: int) -> tuple[int, int]:
    """Find the flows and links joined to a link through shared links; return how many."""
    stamp, flows, links, done = s.at[STAMP], 0, 1, 0
    s.link_seen[link] = stamp
    s.found_links[0] = link
    while done < links:
        crossing = s.first_on[s.found_links[done]]
        done += 1
        while crossing != NONE:
            flow = crossing >> s.hop_bits
            if s.flow_seen[flow] != stamp:
                s.flow_seen[flow] = stamp
                s.found_flows[flows] = flow
                flows += 1
                for other in range(flow << s.hop_bits, (flow + 1) << s.hop_bits):
                    beside = s.crossed[other]
                    if beside == NONE:
                        break
                    if s.link_seen[beside] != stamp:
                        s.link_seen[beside] = stamp
                        s.found_links[links] = beside
                        links += 1
            crossing = s.next_on[crossing]
    return flows, links


@inlined
def change_rate(s: Any, flow: int) -> None:
    """Settle what has arrived at the old rate, then time the rest at the new one."""
    now_ps = s.at[NOW_PS]
    s.bytes_left[flow] -= s.rate[flow] * (now_ps - s.since_ps[flow]) / PS_PER_S
    s.since_ps[flow] = now_ps
    s.rate[flow] = s.fair[flow]
    rest_ps = s.bytes_left[flow] / s.rate[flow] * PS_PER_S
    if now_ps + rest_ps < LAST_FLOAT_PS:
        wake_at(s, flow, finish_ps(s.bytes_left[flow], s.rate[flow], now_ps))
    else:
        wake_at(s, flow, BEYOND_PS)

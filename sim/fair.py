"""Max-min fair sharing of links: the one piece of arithmetic that all engines share.

A rate vector is max-min fair when it is feasible and every flow crosses a link that is full and on
which no other flow is faster; the flow's own cap counts as a link of its own. Source: Bertsekas
and Gallager, Data Networks, 2nd ed., section 6.5.2 (bottleneck condition and progressive filling).

``fill`` and ``finish_ps`` are run as they stand by the SimPy and the heap engine and compiled by
the array engine: one source, the same operations on floats in the same order.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from hwprofiles.units import PS_PER_S

Number = TypeVar("Number", float, Fraction)
"""Floats in the engines, exact fractions in the proof."""

NONE = -1
"""No link, no place, no rate yet."""


class Sharing(NamedTuple):
    """Who crosses what. A *crossing* ``flow << hop_bits | hop`` is one flow on one of its links.

    The array engine keeps the same fields, as arrays, among others of its own.
    """

    links: int
    """How many there are; flows are numbered after them where both stand together."""
    found_flows: Any
    found_links: Any
    """Those to solve, a union of components."""
    hop_bits: int
    crossed: Any
    """Link by crossing; ``NONE`` after the last hop of a flow."""
    first_on: Any
    """By link: one of its crossings, the others follow by ``next_on``."""
    next_on: Any
    """By crossing: the next one on the same link, or ``NONE``."""
    cap: Any
    """By flow: the most that it can draw, bytes per second."""
    bandwidth: Any
    """By link, bytes per second."""
    left: Any
    """By link: bandwidth that is not given away yet (scratch)."""
    unfixed: Any
    """By link: flows without a rate yet (scratch)."""
    due: Any
    """By link: flows whose rate is not taken off ``left`` yet (scratch)."""
    share: Any
    tight: Any
    """By place in a heap of links and flows (scratch); see ``open_links``."""
    fair: Any
    """By flow: its max-min fair rate, bytes per second (the result)."""


def open_links(flows: int, links: int, net: Any) -> int:
    """Give links and flows back what they had; return how many of them may be a bottleneck.

    Those are in ``net.tight``: the links, and the flows whose cap may bind, numbered after the
    links; ``net.share`` holds the rate at which each would be full.
    """
    for i in range(links):
        link = net.found_links[i]
        net.left[link] = net.bandwidth[link]
        net.unfixed[link] = net.due[link] = 0
    count = 0
    for i in range(flows):
        flow = net.found_flows[i]
        net.fair[flow] = NONE
        cap_binds = True
        for crossing in range(flow << net.hop_bits, (flow + 1) << net.hop_bits):
            link = net.crossed[crossing]
            if link == NONE:
                break
            net.unfixed[link] += 1
            cap_binds = cap_binds and net.cap[flow] < net.bandwidth[link]
        if cap_binds:
            net.tight[count] = net.links + flow
            net.share[count] = net.cap[flow]
            count += 1
    for i in range(links):
        link = net.found_links[i]
        net.tight[count] = link
        net.share[count] = net.left[link] / net.unfixed[link]
        count += 1
    return count


def sink(net: Any, count: int, at: int, share: Any, index: int) -> None:
    """Put a link (or the cap of a flow) into the heap at a place that is free, or below it."""
    while 2 * at + 1 < count:
        below = 2 * at + 1
        least = net.share[below]
        if below + 1 < count:
            other = net.share[below + 1]
            if other < least or (other == least and net.tight[below + 1] < net.tight[below]):
                below += 1
                least = other
        if share < least or (share == least and index < net.tight[below]):
            break
        net.share[at] = least
        net.tight[at] = net.tight[below]
        at = below
    net.share[at] = share
    net.tight[at] = index


def pop_tied(net: Any, count: int) -> tuple[Any, int, int]:
    """Take what is tightest out of the heap, and all that is as tight.

    Return that rate, how many there are, and how many are left in the heap. They are in
    ``net.tight``, the last of them where the heap ended before.

    A share never falls while others are fixed, so a link's place in the heap may be out of date: it
    sinks when it surfaces.
    """
    rate, tied, end = net.share[0], 0, count
    while count and (not tied or net.share[0] == rate):
        share, index = net.share[0], net.tight[0]
        is_open = net.fair[index - net.links] < 0 if index >= net.links else net.unfixed[index] > 0
        if index < net.links and is_open:
            now = net.left[index] / net.unfixed[index]
            if now > share:
                sink(net, count, 0, now, index)
                continue
        count -= 1
        sink(net, count, 0, net.share[count], net.tight[count])
        if is_open:
            rate = share
            tied += 1
            net.tight[end - tied] = index
    return rate, tied, count


def fix(net: Any, index: int, rate: Any) -> int:
    """Fix the flows of a link, or one at its cap, that have no rate yet; return how many."""
    fixed, is_link = 0, index < net.links
    crossing = net.first_on[index] if is_link else (index - net.links) << net.hop_bits
    while crossing != NONE:
        flow = crossing >> net.hop_bits
        if net.fair[flow] < 0:
            fixed += 1
            net.fair[flow] = rate
            for other in range(flow << net.hop_bits, (flow + 1) << net.hop_bits):
                if net.crossed[other] == NONE:
                    break
                net.due[net.crossed[other]] += 1
                net.unfixed[net.crossed[other]] -= 1
        crossing = net.next_on[crossing] if is_link else NONE
    return fixed


def settle(net: Any, index: int, rate: Any) -> None:
    """Take what was fixed on a link, or at one's cap, off all that its flows cross."""
    is_link = index < net.links
    crossing = net.first_on[index] if is_link else (index - net.links) << net.hop_bits
    while crossing != NONE:
        flow = crossing >> net.hop_bits
        for other in range(flow << net.hop_bits, (flow + 1) << net.hop_bits):
            link = net.crossed[other]
            if link == NONE:
                break
            if net.due[link]:
                net.left[link] -= net.due[link] * rate
                net.due[link] = 0
        crossing = net.next_on[crossing] if is_link else NONE


def fill(flows: int, links: int, net: Any) -> None:
    """Set ``net.fair`` of the flows and links that were found, by progressive filling.

    The tightest links (least bandwidth left per flow left) fix their flows, all that are equally
    tight at once, again and again. What is computed depends on the links of one component alone
    and not on the order in which they were found, so solving components together or apart gives the
    same bits. Links whose flows are alike are computed alike, and a link of twice the bandwidth
    with twice the flows as that link is, so that a fold has the rates of what it stands for.
    """
    count = open_links(flows, links, net)
    for at in range(count // 2 - 1, -1, -1):
        sink(net, count, at, net.share[at], net.tight[at])
    todo = flows
    while todo:
        end = count
        rate, tied, count = pop_tied(net, count)
        for place in range(end - tied, end):
            todo -= fix(net, net.tight[place], rate)
        if todo:
            for place in range(end - tied, end):
                settle(net, net.tight[place], rate)


def fair_rates(
    flow_links: Sequence[Sequence[int]],
    flow_caps: Sequence[Number],
    link_bandwidth: Sequence[Number],
) -> list[Number]:
    """Return the max-min fair rate of every flow; see ``fill``.

    Parameters
    ----------
    flow_links : sequence of sequences of int
        Links that each flow crosses, at least one, without repeats.
    flow_caps : sequence of numbers, bytes per second
        Most that each flow can draw; infinite where there is no cap.
    link_bandwidth : sequence of numbers, bytes per second
        Bandwidth by link id, > 0; only the links that flows cross are read.

    Returns
    -------
    list of numbers, bytes per second

    Examples
    --------
    >>> fair_rates([[0], [0, 1], [1]], [9.0, 9.0, 9.0], [10.0, 2.0])
    [9.0, 1.0, 1.0]
    """
    if len(flow_links) == 1:
        return [min(flow_caps[0], *(link_bandwidth[link] for link in flow_links[0]))]
    hop_bits = max((len(links) - 1 for links in flow_links), default=0).bit_length()
    links: dict[int, int] = {}  # id -> position, in ascending order of ids
    for link in sorted({link for row in flow_links for link in row}):
        links[link] = len(links)
    crossed = [NONE] * (len(flow_links) << hop_bits)
    first_on, next_on = [NONE] * len(links), crossed.copy()
    for flow, row in enumerate(flow_links):
        for crossing, link in enumerate(row, flow << hop_bits):
            crossed[crossing] = at = links[link]
            next_on[crossing], first_on[at] = first_on[at], crossing
    fair: list[Number] = [flow_caps[0]] * len(flow_links) if flow_links else []
    net = Sharing(
        links=len(links),
        found_flows=range(len(flow_links)),
        found_links=range(len(links)),
        hop_bits=hop_bits,
        crossed=crossed,
        first_on=first_on,
        next_on=next_on,
        cap=flow_caps,
        bandwidth=[link_bandwidth[link] for link in links],
        left=[0] * len(links),
        unfixed=[0] * len(links),
        due=[0] * len(links),
        share=[0] * (len(links) + len(flow_links)),
        tight=[0] * (len(links) + len(flow_links)),
        fair=fair,
    )
    fill(len(flow_links), len(links), net)
    return fair


def finish_ps(remaining_bytes: Number, rate_bytes_per_s: Number, now_ps: int) -> int:
    """Return the instant at which a flow at this rate ends: rounded up, at least 1 ps from now.

    A lone flow takes ``to_ps(bytes / bandwidth)`` to the bit, as the closed forms do.

    >>> finish_ps(3.0, 2e12, 10)
    12
    """
    return now_ps + max(1, math.ceil(remaining_bytes / rate_bytes_per_s * PS_PER_S))

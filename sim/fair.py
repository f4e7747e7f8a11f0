"""Max-min fair sharing of links: the one piece of arithmetic that both engines share.

A rate vector is max-min fair when it is feasible and every flow crosses a link that is full and on
which no other flow is faster; the flow's own cap counts as a link of its own. Source: Bertsekas
and Gallager, Data Networks, 2nd ed., section 6.5.2 (bottleneck condition and progressive filling).
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from heapq import heapify, heappop, heappush
from typing import TypeVar

from hwprofiles.units import PS_PER_S

Number = TypeVar("Number", float, Fraction)
"""Floats in the engines, exact fractions in the proof."""

_LINK, _CAP = 0, 1


def fair_rates(
    flow_links: Sequence[Sequence[int]],
    flow_caps: Sequence[Number],
    link_bandwidth: Sequence[Number],
) -> list[Number]:
    """Return the max-min fair rate of every flow, by progressive filling.

    The tightest link (least bandwidth left per flow left) fixes its flows, again and again; of
    links that are equally tight the one with the lower id is first. A flow's rate is computed
    from the links of its own component alone, so solving components together or apart gives the
    same bits.

    Parameters
    ----------
    flow_links : sequence of sequences of int
        Links that each flow crosses, without repeats.
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
    flows_on: dict[int, list[int]] = {}
    for flow, links in enumerate(flow_links):
        for link in links:
            flows_on.setdefault(link, []).append(flow)
    left = {link: link_bandwidth[link] for link in flows_on}
    open_flows = {link: len(flows) for link, flows in flows_on.items()}
    share = {link: left[link] / open_flows[link] for link in flows_on}
    tightest = [(share[link], _LINK, link) for link in flows_on]
    tightest += [(cap, _CAP, flow) for flow, cap in enumerate(flow_caps)]
    heapify(tightest)
    rates: dict[int, Number] = {}
    while len(rates) < len(flow_links):
        rate, kind, index = heappop(tightest)
        if kind == _LINK and (not open_flows[index] or share[index] != rate):
            continue  # an older share of this link
        fixed = flows_on[index] if kind == _LINK else [index]
        touched = set()
        for flow in fixed:
            if flow in rates:
                continue
            rates[flow] = rate
            for link in flow_links[flow]:
                left[link] -= rate
                open_flows[link] -= 1
                touched.add(link)
        for link in touched:
            if open_flows[link]:
                share[link] = left[link] / open_flows[link]
                heappush(tightest, (share[link], _LINK, link))
    return [rates[flow] for flow in range(len(flow_links))]


def finish_ps(remaining_bytes: Number, rate_bytes_per_s: Number, now_ps: int) -> int:
    """Return the instant at which a flow at this rate ends: rounded up, at least 1 ps from now.

    A lone flow takes ``to_ps(bytes / bandwidth)`` to the bit, as the closed forms do.

    >>> finish_ps(3.0, 2e12, 10)
    12
    """
    return now_ps + max(1, math.ceil(remaining_bytes / rate_bytes_per_s * PS_PER_S))

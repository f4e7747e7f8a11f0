"""A graph whose computations a host has to issue first, one after the other, as one does for a GPU.

The host runs ahead of its device as far as it can. So a step of small ops lasts as long as issuing
them does, one of large ops as long as computing them; in between both count. For one device that
computes in order the rewritten graph is a flow shop of two machines in one order, whose length is
the largest over k of ``issue(1..k) + compute(k..n)`` (Johnson, Naval Research Logistics 1, 1954).
"""

from collections.abc import Sequence

import numpy as np

from hwprofiles.units import Ints
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import NO_ROUTE, TaskGraph


def issued(graph: TaskGraph, issue_ps: Sequence[int], start_ps: Ints) -> TaskGraph:
    """Return ``graph`` with an issue before every computation, on a lane of its device's host.

    Parameters
    ----------
    graph : TaskGraph
        Dependencies name earlier tasks, as ``GraphBuilder`` has them.
    issue_ps : sequence of int, length N
        How long the host takes to issue each task; what a transfer takes does not count.
    start_ps : int array, shape (N,)
        Starts in a simulation of ``graph``: the order in which a host issues.

    Notes
    -----
    ASSUMES: slots bound nothing, the host runs ahead as far as it likes; so this is a lower bound
    where a plan's slots are few. Tasks have other numbers afterwards.
    """
    new = GraphBuilder()
    for device in graph.lane_device.tolist():
        new.lane(device)
    for bandwidth in graph.link_bytes_per_s.tolist():
        new.link(bandwidth)
    caps = enumerate(graph.route_cap_bytes_per_s.tolist())
    routes = [new.path(graph.row("route", route), cap) for route, cap in caps]
    host = {device: new.lane(device) for device in sorted(set(graph.lane_device.tolist()))}
    last: dict[int, int] = {}
    issue = np.full(graph.tasks, -1, dtype=np.int64)
    for task in np.lexsort((np.arange(graph.tasks), start_ps)).tolist():
        if graph.route[task] != NO_ROUTE:
            continue
        device = int(graph.lane_device[graph.row("lane", task)[0]])
        before = [last[device]] if device in last else []
        issue[task] = last[device] = new.compute([host[device]], issue_ps[task], after=before)
    place: list[int] = []
    for task in range(graph.tasks):
        lanes, duration_ps = graph.row("lane", task), int(graph.duration_ps[task])
        after = [place[d] for d in graph.row("dep", task)]
        priority, route = int(graph.priority[task]), int(graph.route[task])
        if route == NO_ROUTE:
            begun = [*after, int(issue[task])]
            place.append(new.compute(lanes, duration_ps, priority=priority, after=begun))
        else:
            place.append(
                new.transfer(
                    lanes,
                    duration_ps,
                    payload_bytes=int(graph.payload_bytes[task]),
                    route=routes[route],
                    priority=priority,
                    after=after,
                )
            )
    return new.build()

"""What each link of the fabric carries in one step."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.fabrics.base import Node
from hwprofiles.units import Floats, Ints
from planner.program import Program
from planner.step_facts import wire_bytes
from reports.fabric_panel import Panel
from reports.tables import Row
from sim.taskgraph import NO_ROUTE, TaskGraph
from sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flows:
    """Every crossing of a link by a transfer: F of them, a transfer has one a link of its route."""

    task: Ints
    link: Ints
    """(F,) id of the link."""
    payload_bytes: Ints
    begin_ps: Ints
    """(F,) when the transfer's overhead has passed and its bytes begin to move."""
    end_ps: Ints


def flows(graph: TaskGraph, timeline: Timeline) -> Flows:
    """Return the flows of a step; a measured transfer may be over sooner than its overhead."""
    task = np.flatnonzero((graph.route != NO_ROUTE) & (graph.payload_bytes > 0))
    route = graph.route[task]
    hops = np.diff(graph.route_ptr)[route]
    first = np.repeat(graph.route_ptr[route], hops)
    within = np.arange(hops.sum()) - np.repeat(np.cumsum(hops) - hops, hops)
    each = np.repeat(task, hops)
    end_ps = timeline.end_ps[each]
    begin_ps = timeline.start_ps[each] + graph.duration_ps[each]
    return Flows(
        task=each,
        link=graph.route_idx[first + within].astype(np.int64),
        payload_bytes=graph.payload_bytes[each],
        begin_ps=np.where(begin_ps < end_ps, begin_ps, timeline.start_ps[each]),
        end_ps=end_ps,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinkUse:
    """Load of every link over one step, shape (K,), in the order of ``Cluster.links``."""

    carried_bytes: Ints
    used_frac: Floats
    """Bytes over what the link could carry in the step."""

    def of(self, links: Iterable[int]) -> float:
        """Return the largest use of these links."""
        return max((float(self.used_frac[link]) for link in links), default=0.0)


def link_use(cluster: Cluster, program: Program, timeline: Timeline) -> LinkUse:
    """Return what a simulated step moves over each link of ``cluster``."""
    carried = wire_bytes(program, len(cluster.links))
    could = program.graph.link_bytes_per_s * timeline.makespan_s
    return LinkUse(
        carried_bytes=carried, used_frac=np.divide(carried, could, where=could > 0, out=0 * could)
    )


def node_name(node: Node) -> str:
    """Return the name of an end of a link; devices have only numbers.

    >>> node_name(3), node_name("leaf0")
    ('device 3', 'leaf0')
    """
    return f"device {node}" if isinstance(node, int) else node


def link_rows(cluster: Cluster, use: LinkUse, most: int) -> list[Row]:
    """Return the busiest links, each by its busier direction, with what comes back."""
    ends = {link_id: pair for pair, link_id in cluster.edges.items()}
    rows: list[Row] = []
    told = set[int]()
    for link in np.argsort(-use.used_frac, kind="stable").tolist():
        if len(rows) == most or not use.carried_bytes[link]:
            break
        if link in told:
            continue
        start, end = ends[link]
        other = cluster.edges.get((end, start))
        told |= {link, link if other is None else other}
        returned = 0 if other is None else int(use.carried_bytes[other])
        carried = int(use.carried_bytes[link])
        rows.append(
            {
                "from": node_name(start),
                "to": node_name(end),
                "link": cluster.links[link].name,
                "bandwidth_bytes_per_s": cluster.links[link].bandwidth_bytes_per_s,
                "carried_bytes": carried,
                "returned_bytes": returned,
                "used_frac": float(use.used_frac[link]),
            }
        )
    return rows


def drawn_links(cluster: Cluster, panel: Panel) -> dict[frozenset[Node], list[int]]:
    """Return the links, of both directions, that each line of a panel stands for."""
    lines = {frozenset(pair[:2]) for pair in panel.pairs}
    found: dict[frozenset[Node], list[int]] = {line: [] for line in lines}
    for (start, end), link_id in cluster.edges.items():
        line = frozenset((_spot(start, cluster, panel), _spot(end, cluster, panel)))
        if line in found:
            found[line].append(link_id)
    return found


def _spot(node: Node, cluster: Cluster, panel: Panel) -> Node:
    """Return the box that stands for a node of the fabric: itself, its node or its group."""
    local = str(node).removeprefix("node0.")
    outer = str(node).partition(".")[0]
    size = cluster.routing.node_devices
    owner = f"node {int(node) // size}" if isinstance(node, int) and size else ""
    if isinstance(node, str) and outer.startswith("node") and outer != node:
        owner = outer.replace("node", "node ")
    return next((name for name in (node, local, owner, outer) if name in panel.spots), node)

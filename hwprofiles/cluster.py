"""Clusters: devices and switches joined by directed links."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link, Route
from hwprofiles.routing import Neighbours, Routing, Ways

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices by index, and a fabric whose edges carry one ``Link`` per direction.

    Built complete and checked by :meth:`from_edges`; ``fabric`` nodes ``0..len(devices)-1`` are the
    devices, any other node is a switch, a NIC or a socket.
    """

    name: str
    devices: tuple[Device, ...]
    links: tuple[Link, ...]
    """Every directed link; its position is the id that routes and task graphs use."""
    fabric: "nx.DiGraph[int | str]"
    source: str = ""
    routing: Routing = field(default_factory=Routing)
    """Which of several paths a route takes."""
    _after: Neighbours = field(repr=False, compare=False)
    _before: Neighbours = field(repr=False, compare=False)
    _routes: dict[tuple[int, int], Route] = field(default_factory=dict, repr=False, compare=False)
    _ways: dict[tuple[Node, Node], Ways] = field(default_factory=dict, repr=False, compare=False)
    """Between waypoints, which many routes share."""

    @classmethod
    def from_edges(
        cls,
        name: str,
        devices: Iterable[Device],
        edges: Iterable[tuple[Node, Node, Link]],
        source: str = "",
        routing: Routing | None = None,
    ) -> "Cluster":
        """Build from directed edges ``(from, to, link)``; a string end is a switch.

        Raises
        ------
        ProfileError
            No device, an edge given twice, from a node to itself or to a device that is not there,
            or devices that cannot reach each other.
        """
        import networkx as nx  # late: who only reads facts should not wait for it

        device_list = tuple(devices)
        if not device_list:
            raise ProfileError(f"cluster {name!r}: needs at least one device")
        fabric: nx.DiGraph[int | str] = nx.DiGraph()
        fabric.add_nodes_from(range(len(device_list)))
        links: list[Link] = []
        for src, dst, link in edges:
            for end in (src, dst):
                if isinstance(end, int) and not 0 <= end < len(device_list):
                    raise ProfileError(
                        f"cluster {name!r}: edge {src} -> {dst}: expected a device 0 to"
                        f" {len(device_list) - 1} or the name of a switch, got {end}"
                    )
            if src == dst or fabric.has_edge(src, dst):
                raise ProfileError(
                    f"cluster {name!r}: edge {src} -> {dst}: one edge joins two different nodes in"
                    " one direction; several wires between them are one link part"
                )
            fabric.add_edge(src, dst, link_id=len(links))
            links.append(link)
        if len(device_list) > 1 and not nx.is_strongly_connected(fabric):
            lost = min(nx.strongly_connected_components(fabric), key=len)
            raise ProfileError(
                f"cluster {name!r}: every device must reach every other, but these are cut off:"
                f" {sorted(map(str, lost))}"
            )
        rule = routing or Routing()
        cluster = cls(
            name=name,
            devices=device_list,
            links=tuple(links),
            fabric=fabric,
            source=source,
            routing=rule,
            _after={node: _in_order(fabric.succ[node], links) for node in fabric},
            _before={node: _in_order(fabric.pred[node], links) for node in fabric},
        )
        if not rule.relay and (island := cluster._island()):
            raise ProfileError(
                f"cluster {name!r}: every device must reach every other without passing through"
                f" one, but device 0 does not reach {island}; add a host or a network"
            )
        return cluster

    def with_links(self, links: Sequence[Link]) -> "Cluster":
        """Return the same wires with other figures; ``links`` in the order of this cluster's."""
        fabric = self.fabric
        return replace(
            self,
            links=tuple(links),
            _after={node: _in_order(fabric.succ[node], links) for node in fabric},
            _before={node: _in_order(fabric.pred[node], links) for node in fabric},
            _routes={},
            _ways={},
        )

    def route(self, src: int, dst: int) -> Route:
        """Return the links from device ``src`` to ``dst``, as :attr:`routing` chooses.

        The path has the fewest hops, and of such paths the widest; from node to node it leaves and
        enters by the NICs of its devices. Without links where ``src == dst``.
        """
        if (src, dst) not in self._routes:
            path = self._path(src, dst)
            ids = tuple(self.fabric.edges[a, b]["link_id"] for a, b in pairwise(path))
            links = tuple(self.links[i] for i in ids)
            self._routes[src, dst] = Route(links=links, link_ids=ids)
        return self._routes[src, dst]

    def way_round(self, src: int, dst: int, failed: Collection[int]) -> tuple[int, ...] | None:
        """Return the links of a path of the fewest hops without ``failed`` ones, None without one.

        It passes through devices only where :attr:`routing` lets them relay.
        """
        import networkx as nx

        relay, edges = self.routing.relay, self.fabric.edges
        nodes = [n for n in self.fabric if relay or isinstance(n, str) or n in (src, dst)]
        left: nx.DiGraph[Node] = nx.DiGraph()
        left.add_nodes_from((src, dst))
        left.add_edges_from(
            edge
            for edge in self.fabric.subgraph(nodes).edges
            if edges[edge]["link_id"] not in failed
        )
        try:
            path = nx.shortest_path(left, src, dst)
        except nx.NetworkXNoPath:
            return None
        return tuple(edges[edge]["link_id"] for edge in pairwise(path))

    def _path(self, src: int, dst: int) -> list[Node]:
        rule = self.routing
        if (on_torus := rule.on_torus(src, dst)) is not None:
            return on_torus
        choose = rule.chooser(src, dst)
        path: list[Node] = [src]
        for start, end in pairwise(rule.waypoints(src, dst)):
            if (start, end) not in self._ways:
                self._ways[start, end] = Ways.between(
                    self._after, self._before, start, end, relay=rule.relay
                )
            path += self._ways[start, end].path(self._after, choose)[1:]
        return path

    def _island(self) -> list[int]:
        """Return some devices that device 0 reaches only through other devices, if there are."""
        seen: set[Node] = {0}
        todo: list[Node] = [0]
        while todo:
            node = todo.pop()
            if isinstance(node, str) or node == 0:
                new = [n for n in self._after[node] if n not in seen]
                seen.update(new)
                todo += new
        return [device for device in range(len(self.devices)) if device not in seen][:8]


def _in_order(near: Mapping[Node, Mapping[str, int]], links: Sequence[Link]) -> dict[Node, float]:
    """Return neighbours in the order of nodes, each with the rate of a lone flow."""
    rates = {}
    for node in sorted(near, key=_order):
        link = links[near[node]["link_id"]]
        rates[node] = min(link.bandwidth_bytes_per_s, link.flow_cap_bytes_per_s)
    return rates


def _order(node: Node) -> tuple[bool, Node]:
    """Devices by index, then switches by name."""
    return isinstance(node, str), node

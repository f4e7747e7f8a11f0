"""Clusters: devices and switches joined by directed links."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link, Route
from hwprofiles.routing import Neighbours, Routing, Ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices by index, and a fabric whose edges carry one ``Link`` per direction.

    Built complete and checked by :meth:`from_edges`; nodes ``0..len(devices)-1`` are the devices,
    any other node is a switch, a NIC or a socket.
    """

    name: str
    devices: tuple[Device, ...]
    links: tuple[Link, ...]
    """Every directed link; its position is the id that routes and task graphs use."""
    edges: Mapping[tuple[Node, Node], int]
    """The id of the link from one node to another, in the order of ids."""
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
        device_list = tuple(devices)
        if not device_list:
            raise ProfileError(f"cluster {name!r}: needs at least one device")
        ids: dict[tuple[Node, Node], int] = {}
        links: list[Link] = []
        for src, dst, link in edges:
            for end in (src, dst):
                if isinstance(end, int) and not 0 <= end < len(device_list):
                    raise ProfileError(
                        f"cluster {name!r}: edge {src} -> {dst}: expected a device 0 to"
                        f" {len(device_list) - 1} or the name of a switch, got {end}"
                    )
            if src == dst or (src, dst) in ids:
                raise ProfileError(
                    f"cluster {name!r}: edge {src} -> {dst}: one edge joins two different nodes in"
                    " one direction; several wires between them are one link part"
                )
            ids[src, dst] = len(links)
            links.append(link)
        after, before = _near(len(device_list), ids, links)
        joined = all(len(_reached(near)) == len(near) for near in (after, before))
        if len(device_list) > 1 and not joined:
            import networkx as nx  # late: it takes longer to load than most commands to run

            fabric: nx.DiGraph[Node] = nx.DiGraph(list(ids))
            fabric.add_nodes_from(range(len(device_list)))
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
            edges=ids,
            source=source,
            routing=rule,
            _after=after,
            _before=before,
        )
        near = _reached(after, relay=rule.relay)
        if island := [device for device in range(len(device_list)) if device not in near][:8]:
            raise ProfileError(
                f"cluster {name!r}: every device must reach every other without passing through"
                f" one, but device 0 does not reach {island}; add a host or a network"
            )
        return cluster

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, the devices first."""
        return tuple(self._after)

    def after(self, node: Node) -> tuple[Node, ...]:
        """Return the nodes that the links of a node lead to, in the order of nodes."""
        return tuple(self._after[node])

    def with_links(self, links: Sequence[Link]) -> "Cluster":
        """Return the same wires with other figures; ``links`` in the order of this cluster's."""
        after, before = _near(len(self.devices), self.edges, links)
        return replace(
            self,
            links=tuple(links),
            _after=after,
            _before=before,
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
            ids = tuple(self.edges[ends] for ends in pairwise(path))
            links = tuple(self.links[i] for i in ids)
            self._routes[src, dst] = Route(links=links, link_ids=ids)
        return self._routes[src, dst]

    def way_round(self, src: int, dst: int, failed: Collection[int]) -> tuple[int, ...] | None:
        """Return the links of a path of the fewest hops without ``failed`` ones, None without one.

        It passes through devices only where :attr:`routing` lets them relay.
        """
        import networkx as nx

        def may_pass(node: Node) -> bool:
            return self.routing.relay or isinstance(node, str) or node in (src, dst)

        left: nx.DiGraph[Node] = nx.DiGraph()
        left.add_nodes_from((src, dst))
        left.add_edges_from(
            ends for ends, i in self.edges.items() if i not in failed and all(map(may_pass, ends))
        )
        try:
            path = nx.shortest_path(left, src, dst)
        except nx.NetworkXNoPath:
            return None
        return tuple(self.edges[ends] for ends in pairwise(path))

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


Near = dict[Node, dict[Node, float]]


def _near(
    devices: int, edges: Mapping[tuple[Node, Node], int], links: Sequence[Link]
) -> tuple[Near, Near]:
    """Return the nodes after each node, and those before it, in order, with rates of lone flows."""
    after: Near = {device: {} for device in range(devices)}
    before: Near = {device: {} for device in range(devices)}
    for (src, dst), link_id in edges.items():
        link = links[link_id]
        rate = min(link.bandwidth_bytes_per_s, link.flow_cap_bytes_per_s)
        for near, node, other in ((after, src, dst), (before, dst, src)):
            near.setdefault(node, {})[other] = rate
            near.setdefault(other, {})
    return _in_order(after), _in_order(before)


def _in_order(near: Near) -> Near:
    """Return the neighbours of each node in the order of nodes."""
    return {node: {n: found[n] for n in sorted(found, key=_order)} for node, found in near.items()}


def _reached(near: Neighbours, *, relay: bool = True) -> set[Node]:
    """Return the nodes that device 0 reaches, through other devices only if they ``relay``."""
    seen: set[Node] = {0}
    todo: list[Node] = [0]
    while todo:
        node = todo.pop()
        if relay or isinstance(node, str) or node == 0:
            new = [n for n in near[node] if n not in seen]
            seen.update(new)
            todo += new
    return seen


def _order(node: Node) -> tuple[bool, Node]:
    """Devices by index, then switches by name."""
    return isinstance(node, str), node

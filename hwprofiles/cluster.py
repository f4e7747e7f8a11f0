"""Clusters: devices and switches joined by directed links."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx

from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.link import Link, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices by index, and a fabric whose edges carry one ``Link`` per direction.

    Built complete and checked by :meth:`from_edges`; ``fabric`` nodes ``0..len(devices)-1`` are the
    devices, any other node is a switch.
    """

    name: str
    devices: tuple[Device, ...]
    links: tuple[Link, ...]
    """Every directed link; its position is the id that routes and task graphs use."""
    fabric: "nx.DiGraph[int | str]"
    source: str = ""
    _routes: dict[tuple[int, int], Route] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_edges(
        cls,
        name: str,
        devices: Iterable[Device],
        edges: Iterable[tuple[int | str, int | str, Link]],
        source: str = "",
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
        return cls(name=name, devices=device_list, links=tuple(links), fabric=fabric, source=source)

    def route(self, src: int, dst: int) -> Route:
        """Return the links from device ``src`` to ``dst``: fewest hops, ties by node order.

        Of several shortest paths the one whose nodes come first is taken: devices by index, then
        switches by name. Without links where ``src == dst``.
        """
        if (src, dst) not in self._routes:
            path = self._first_shortest_path(src, dst)
            ids = tuple(self.fabric.edges[a, b]["link_id"] for a, b in pairwise(path))
            links = tuple(self.links[i] for i in ids)
            self._routes[src, dst] = Route(links=links, link_ids=ids)
        return self._routes[src, dst]

    def _first_shortest_path(self, src: int, dst: int) -> list[int | str]:
        hops: dict[int | str, int] = dict(nx.single_target_shortest_path_length(self.fabric, dst))
        path: list[int | str] = [src]
        while path[-1] != dst:
            nearer = (n for n in self.fabric[path[-1]] if hops.get(n) == hops[path[-1]] - 1)
            path.append(min(nearer, key=lambda node: (isinstance(node, str), node)))
        return path

"""Flows through a switch that adds what it collects, or copies what it spreads.

Such a flow crosses every link of several routes once. The switch stands where a rank would:
``SWITCH`` to a rank is the sum of what all have, a rank to ``SWITCH`` goes to all.

A library may reach another share of a wire by such flows than by messages. Both kinds share links,
so the bytes of such a flow count as those of a message that is as long under way (`carried`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.link import Link, Route

SWITCH = -1
"""Instead of a rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The routes of one flow; a route's own names, so that either can be priced."""

    routes: tuple[Route, ...]

    @property
    def link_ids(self) -> tuple[int, ...]:
        """Links crossed, each once."""
        return tuple(dict.fromkeys(link for route in self.routes for link in route.link_ids))

    @property
    def links(self) -> tuple[Link, ...]:
        """The same, by what they are."""
        parts = {
            i: link
            for route in self.routes
            for i, link in zip(route.link_ids, route.links, strict=True)
        }
        return tuple(parts.values())

    @property
    def flow_cap_bytes_per_s(self) -> float:
        """Least per-flow cap of any."""
        return min(route.flow_cap_bytes_per_s for route in self.routes)

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Rate of a lone flow: that of the slowest route."""
        return min(route.bandwidth_bytes_per_s for route in self.routes)

    @property
    def rate_frac(self) -> float:
        """Of the rate of messages, what a library reaches by such a flow."""
        known = [link.switched for link in self.links if link.switched]
        return min((one.rate_frac for one in known), default=1.0)

    def overhead_s(self, payload_bytes: Any) -> Any:
        """Overhead of the farthest route, seconds; a number or an array, as the bytes are.

        None where a library's is known, which is paid once a call.
        """
        if all(link.switched for link in self.links):
            return payload_bytes * 0.0
        each = [route.overhead_s(payload_bytes) for route in self.routes]
        return np.maximum.reduce(each) if isinstance(payload_bytes, np.ndarray) else max(each)


def carried(route: Route | Joined, payload_bytes: Any) -> Any:
    """Return the bytes of a message that is as long under way: of one number or an array."""
    if not isinstance(route, Joined) or route.rate_frac == 1.0:
        return payload_bytes
    return np.ceil(payload_bytes / route.rate_frac).astype(np.int64)


def route_between(cluster: Cluster, placement: Sequence[int], src: int, dst: int) -> Route | Joined:
    """Return how a message goes from rank to rank, or through the switch between all of them."""
    if SWITCH not in (src, dst):
        return cluster.route(placement[src], placement[dst])
    collects, rank = src == SWITCH, dst if src == SWITCH else src
    others = [r for r in range(len(placement)) if r != rank]
    ends = [(r, rank) if collects else (rank, r) for r in others]
    routes = [cluster.route(placement[a], placement[b]) for a, b in ends]
    return Joined(routes=(*routes, _own_way(cluster, placement, rank, into=not collects)))


def _own_way(cluster: Cluster, placement: Sequence[int], rank: int, *, into: bool) -> Route:
    """Return the link between a rank and the switch: what it holds itself goes there too."""
    other = (rank + 1) % len(placement)
    ends, place = ((other, rank), -1) if into else ((rank, other), 0)
    route = cluster.route(*(placement[end] for end in ends))
    return Route(links=(route.links[place],), link_ids=(route.link_ids[place],))

"""The wires of a cluster by name: which part each is, between what it runs, in a node or outside.

Wires are counted as a cluster counts its links: one for each direction, in the order of its edges.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hwprofiles.link import Link
from hwprofiles.routing import Routing

Tier = Literal["intra", "inter"]
"""``intra``: between what belongs to one node; ``inter``: any other, that is the network."""
TIERS: tuple[Tier, ...] = ("intra", "inter")
End = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class WireName:
    """One directed wire."""

    link: Link
    start: End
    end: End
    tier: Tier

    @property
    def ends(self) -> str:
        """Where it runs, e.g. ``0 -> node0.pcie0``."""
        return f"{self.start} -> {self.end}"

    @property
    def group(self) -> str:
        """Name of all wires of this part between such ends, e.g. ``pcie-3-x16 (device to pcie)``.

        Both directions belong to one group.
        """
        kinds = sorted({_kind(self.start), _kind(self.end)})
        return f"{self.link.name} ({' to '.join(kinds if len(kinds) == 2 else kinds * 2)})"


def name_wires(
    edges: Sequence[tuple[End, End, int]], links: Sequence[Link], routing: Routing
) -> tuple[WireName, ...]:
    """Return every wire of a cluster; ``edges`` are ``(from, to, index into links)``."""
    return tuple(
        WireName(link=links[i], start=a, end=b, tier=_tier(a, b, routing)) for a, b, i in edges
    )


def _tier(start: End, end: End, routing: Routing) -> Tier:
    nodes = {node_of(start, routing), node_of(end, routing)}
    return "intra" if len(nodes) == 1 and None not in nodes else "inter"


def node_of(end: End, routing: Routing) -> str | None:
    """Return the number of the node that ``end`` belongs to, None for a switch of the network."""
    many = bool(routing.node_devices or routing.exits)
    if not many:
        return "0"
    if isinstance(end, str):
        node, dot, _ = end.partition(".")
        return node.removeprefix("node") if dot and node.startswith("node") else None
    if routing.node_devices:
        return str(end // routing.node_devices)
    return routing.exits[end].partition(".")[0].removeprefix("node")


def _kind(end: End) -> str:
    """Return what an end is: a device, or the name of a switch without its numbers.

    >>> _kind("node0.pcie1"), _kind("leaf0.7"), _kind("dgx2-switch")
    ('pcie', 'leaf', 'dgx2-switch')
    """
    if isinstance(end, int):
        return "device"
    words = (re.sub(r"[\d\-_]+$", "", word) for word in reversed(end.split(".")))
    return next((word for word in words if word), end)

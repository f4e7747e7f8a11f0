"""Where to draw what lies between nodes: levels of switches, or the groups of a dragonfly."""

import math
import re

from hwprofiles.cluster import Cluster
from hwprofiles.fabrics.base import Node
from hwprofiles.link import Link
from reports.fabric_panel import (
    INSIDE,
    NETWORK,
    Pair,
    Panel,
    Spot,
    by_number,
    matches,
    row_of,
    shown,
)

ROW, LEVEL, RING = 6, 2.0, 12
"""Most of a row, the height between rows, and most groups on a ring."""


def network_panel(cluster: Cluster, pairs: list[Pair], several: bool) -> Panel:
    """Place nodes below, then the switches by how far from a node they are."""
    merged: dict[tuple[Node, Node], Link] = {}
    for start, end, link in pairs:
        a, b = (_owner(n, several, cluster) for n in (start, end))
        merged.setdefault((a, b), link)
    if any(matches(re.compile("group"), n) for n in cluster.nodes):
        return _groups(pairs)
    whole = [(a, b, link) for (a, b), link in merged.items()]
    near: dict[Node, set[Node]] = {}
    for a, b, _ in whole:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    rows = [sorted((n for n in near if not matches(NETWORK, n)), key=by_number)]
    placed = set(rows[0])
    while len(placed) < len(near):
        rows.append(sorted({m for n in rows[-1] for m in near[n]} - placed, key=by_number))
        placed |= set(rows[-1])
    what = "nodes" if several else "devices"
    counts = [f"{len(row)} {_family(row[0])}" for row in rows[1:]]
    spots: dict[Node, Spot] = {}
    for level, row in enumerate(rows):
        kind = "switch" if level else "node" if several else "device"
        spots |= row_of(row, kind, LEVEL * level, ROW, min(ROW, max(map(len, rows))))
    word = "switch" if counts[-1].startswith("1 ") else "switches"
    title = f"network: {len(rows[0])} {what}, {', '.join(counts)} {word}"
    return Panel(title=title, spots=spots, pairs=shown(whole, spots), layered=True)


def _family(node: Node) -> str:
    """Return what kind of switch a name stands for: ``spine`` for ``pod0.spine3``."""
    words = re.findall("[a-z]+", str(node))
    return str(words[-1])


def _owner(node: Node, several: bool, cluster: Cluster) -> Node:
    """Return the node that a NIC belongs to; where NICs are on devices, that of the device."""
    if isinstance(node, str):
        inside = INSIDE.match(node)
        return node[: inside.end() - 1].replace("node", "node ") if inside else node
    size = cluster.routing.node_devices
    return f"node {node // size}" if several and size else node


def _groups(pairs: list[Pair]) -> Panel:
    """Place the groups of a dragonfly on a ring; inside one, routers are fully joined."""
    groups: dict[str, set[str]] = {}
    ends: dict[str, int] = {}
    between: dict[tuple[Node, Node], Link] = {}
    within: list[Link] = []
    for start, end, link in pairs:
        names = [n for n in (start, end) if matches(NETWORK, n)]
        owners = [str(n).partition(".")[0] for n in names]
        for name, owner in zip(names, owners, strict=True):
            groups.setdefault(owner, set()).add(str(name))
        if len(names) == 1:
            ends[owners[0]] = ends.get(owners[0], 0) + 1
        elif owners[0] == owners[1]:
            within.append(link)
        else:
            between.setdefault((owners[0], owners[1]), link)
    some = sorted(groups, key=by_number)[:RING]
    spots: dict[Node, Spot] = {}
    for place, name in enumerate(some):
        turn = 2 * math.pi * place / len(some)
        label = f"{name}\n{len(groups[name])} routers\n{ends.get(name, 0)} ports"
        x, y = 3.2 * math.sin(turn), 2.4 * math.cos(turn)
        spots[name] = Spot(x=x, y=y, label=label, kind="node")
    whole = [(a, b, link) for (a, b), link in between.items()]
    rest = f"{len(groups) - len(some)} more groups; " if len(groups) > len(some) else ""
    inside = f"in a group all routers are joined by {within[0].name}" if within else ""
    return Panel(
        title=f"network: dragonfly of {len(groups)} groups",
        spots=spots,
        pairs=shown(whole, spots),
        note=rest + inside,
    )

"""Where to draw the nodes of a cluster: panels for a node's fabric, its host, and the network.

Big systems show one node and a few of every row; what is left out is counted.
"""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import product

from hwprofiles.cluster import Cluster
from hwprofiles.fabrics.base import Node, number
from hwprofiles.link import Link
from reports.fabric_network import network_panel
from reports.fabric_panel import (
    INSIDE,
    NETWORK,
    Pair,
    Panel,
    Spot,
    by_number,
    kind_of,
    matches,
    row_of,
    shown,
)

HOST = re.compile(r"(pcie|cpu|nic)[0-9]+$")
SOCKETS, LEAVES, ROW, SIDE, SLICES = 2, 24, 12, 16, 4
"""Most that is drawn: sockets and what is under them, a row of devices, a side of a grid, slices of
a torus."""
CUBE_MESH = ((0, 3), (1, 2), (1, 1), (0, 0), (4, 3), (3, 2), (3, 1), (4, 0))
"""Places of the eight GPUs of a hybrid cube mesh: no wire lies on another."""


def panels(cluster: Cluster) -> list[Panel]:
    """Return the panels of a cluster, innermost first."""
    pairs = _pairs(cluster)
    several = any(isinstance(n, str) and INSIDE.match(n) for n in cluster.nodes)
    outer = [p for p in pairs if any(isinstance(n, str) and NETWORK.match(n) for n in p[:2])]
    inner = [p for p in pairs if p not in outer] if not several else _of_first_node(pairs)
    size = _first_node_devices(cluster, inner, several, bool(outer))
    found = []
    host = [p for p in inner if any(matches(HOST, n) for n in p[:2])]
    fabric = [p for p in inner if p not in host]
    if cluster.routing.dims:
        found.append(_torus(cluster, fabric))
    elif fabric:
        found.append(_fabric(cluster, fabric, size))
    if host:
        found.append(_host(host))
    if outer:
        found.append(network_panel(cluster, outer, several))
    return found


def _pairs(cluster: Cluster) -> list[Pair]:
    """Return every wire once, with the link of its first direction."""
    seen: set[tuple[Node, Node]] = set()
    pairs: list[Pair] = []
    for (start, end), link_id in cluster.edges.items():
        if (end, start) not in seen:
            seen.add((start, end))
            pairs.append((start, end, cluster.links[link_id]))
    return pairs


def _of_first_node(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the wires of node 0, its switches by their local names."""
    devices = {n for p in pairs if _in_first(p[0]) or _in_first(p[1]) for n in p[:2] if _is_int(n)}
    found = []
    for start, end, link in pairs:
        if all(_in_first(n) or n in devices for n in (start, end)):
            found.append((_local(start), _local(end), link))
    return found


def _in_first(node: Node) -> bool:
    return isinstance(node, str) and node.startswith("node0.")


def _local(node: Node) -> Node:
    return node.removeprefix("node0.") if isinstance(node, str) else node


def _is_int(node: Node) -> bool:
    return isinstance(node, int)


def _first_node_devices(
    cluster: Cluster, inner: Sequence[Pair], several: bool, networked: bool
) -> int:
    if several or networked:
        return len({n for p in inner for n in p[:2] if _is_int(n)})
    return len(cluster.devices)


def _made_of(cluster: Cluster, count: int) -> str:
    """Return ``8 x h100-sxm5-80g`` for the first devices."""
    names = [device.name for device in cluster.devices[:count]]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


def _fabric(cluster: Cluster, pairs: list[Pair], size: int) -> Panel:
    """Place the devices of a node below their switch, or round a mesh."""
    title = f"scale-up: {_made_of(cluster, size)}"
    switches = sorted({n for p in pairs for n in p[:2] if isinstance(n, str)})
    if switches:
        spots = row_of(list(range(size)), "device", 0.0, ROW if size > ROW + 4 else size)
        xs = [spot.x for spot in spots.values()]
        step = (max(xs) - min(xs) + 1) / len(switches)
        for place, name in enumerate(switches):
            x = min(xs) - 0.5 + step * (place + 0.5)
            spots[name] = Spot(x=x, y=1.8, label=name, kind="switch", width=0.95 * step)
        return Panel(title=title, spots=spots, pairs=shown(pairs, spots), layered=True)
    if size == len(CUBE_MESH) and len(pairs) == 2 * size:
        places: Sequence[tuple[float, float]] = CUBE_MESH
    else:
        turns = [2 * math.pi * i / size for i in range(size)]
        places = [(1.6 * math.sin(turn), 1.6 * math.cos(turn)) for turn in turns]
    spots = {
        gpu: Spot(x=x, y=y, label=str(gpu), kind="device") for gpu, (x, y) in enumerate(places)
    }
    return Panel(title=title, spots=spots, pairs=pairs)


def _host(pairs: list[Pair]) -> Panel:
    """Place a tree: sockets above, then PCIe switches, then devices and NICs under their own."""
    near: dict[Node, list[Node]] = {}
    for start, end, _ in pairs:
        near.setdefault(start, []).append(end)
        near.setdefault(end, []).append(start)
    sockets = sorted((n for n in near if kind_of(n) == "socket"), key=by_number)
    groups: list[tuple[Node, list[tuple[Node, list[Node]]]]] = []
    leaves = 0
    for socket in sockets:
        below = sorted((n for n in near[socket] if kind_of(n) != "socket"), key=by_number)
        under = [(n, sorted((m for m in near[n] if _leaf(m)), key=by_number)) for n in below]
        count = sum(len(own) if kind_of(n) == "switch" else 1 for n, own in under)
        if leaves and (leaves + count > LEAVES or len(groups) == SOCKETS):
            break
        leaves += count
        groups.append((socket, under))
    spots: dict[Node, Spot] = {}
    x = 0.0
    for socket, under in groups:
        first = x
        for name, own in under:
            if kind_of(name) != "switch":
                spots[name] = _spot(name, x, 0.0)
                x += 1
                continue
            for leaf in own:
                spots[leaf] = _spot(leaf, x, 0.0)
                x += 1
            spots[name] = _spot(name, x - (len(own) + 1) / 2, 1.3)
        spots[socket] = _spot(socket, (first + x - 1) / 2, 2.6)
        x += 0.6
    for nic in (n for n in list(near) if kind_of(n) == "nic" and n not in spots):
        above = [spots[n].x for n in near[nic] if n in spots]
        if above:  # at the devices themselves
            spots[nic] = _spot(nic, sum(above) / len(above), -1.3)
    left = len(sockets) - len(groups)
    note = f"{left} more sockets alike" if left else ""
    return Panel(
        title="host of a node: PCIe, sockets, NICs",
        spots=spots,
        pairs=shown(pairs, spots),
        note=note,
        layered=True,
    )


def _leaf(node: Node) -> bool:
    return kind_of(node) in ("device", "nic")


def _spot(node: Node, x: float, y: float) -> Spot:
    return Spot(x=x, y=y, label=str(node), kind=kind_of(node))


def _torus(cluster: Cluster, pairs: list[Pair]) -> Panel:
    """Place the last two dimensions as grids, side by side along the first."""
    dims = cluster.routing.dims
    wrap = cluster.routing.wrap
    link = {frozenset(p[:2]): p[2] for p in pairs}
    sides = (*(1,) * (3 - len(dims)), *dims)
    closed = (*(False,) * (3 - len(dims)), *wrap)
    slices, rows, columns = (min(s, m) for s, m in zip(sides, (SLICES, SIDE, SIDE), strict=True))
    across = 1 if columns > SIDE // 2 else 2
    spots: dict[Node, Spot] = {}
    inside: list[Pair] = []
    stubs: list[tuple[Node, tuple[float, float], Link]] = []
    for place in product(range(slices), range(rows), range(columns)):
        z, y, x = place
        here = number(place, sides)
        right, down = z % across * (columns + 1.8), z // across * (rows + 1.6)
        spots[here] = Spot(x=right + x, y=-down - y, label=str(here), kind="device")
        for axis, step in ((1, (0.0, -1.0)), (2, (1.0, 0.0))):
            after = list(place)
            after[axis] += 1
            if after[axis] < (rows, columns)[axis - 1]:
                other = number(after, sides)
                inside.append((here, other, link[frozenset((here, other))]))
                continue
            after[axis] %= sides[axis]
            pair = frozenset((here, number(after, sides)))
            if closed[axis] and sides[axis] > 2:
                stubs.append((here, step, link[pair]))
                if after[axis] == 0:
                    stubs.append((number(after, sides), (-step[0], -step[1]), link[pair]))
    rings = [str(axis) for axis, ring in enumerate(wrap) if ring]
    note = f"stubs wrap round; rings along dimension {', '.join(rings)}" if rings else "no ring"
    if sides[0] > 1:
        note += f"; the {sides[0]} slices are joined chip by chip along dimension 0"
    note += ", of which the first are shown" if (slices, rows, columns) != sides else ""
    shape = f"{'x'.join(map(str, dims))} {'torus' if rings else 'mesh'}"
    title = f"{shape}: {_made_of(cluster, math.prod(dims))}"
    return Panel(title=title, spots=spots, pairs=inside, stubs=stubs, note=note)

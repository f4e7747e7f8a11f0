"""Composition: the fabric of a node, nested in the network that joins the nodes.

A node is its devices, the wires between them and its host. What the network joins are the *ports*
of the nodes: their NICs, or the devices themselves where the NICs are on the devices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path

from hwprofiles.clusterfacts import BuilderBlock, ClusterPart
from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Node, Wire
from hwprofiles.fabrics.torus import wraps
from hwprofiles.routing import Paths, Routing

NIC = "nic"
"""What the name of a NIC begins with, in a builder's wires and in an edge list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node: its devices, and its wires by the local names of their ends."""

    parts: tuple[str, ...]
    """Name or file of each device's part."""
    fabric: tuple[Wire, ...] = ()
    host: tuple[Wire, ...] = ()
    ports: tuple[Node, ...] = ()
    """What the network joins, in order."""
    exits: tuple[str, ...] = ()
    """The NIC of each device, the nearest; none where there is no NIC."""
    dims: tuple[int, ...] = ()
    wrap: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A whole cluster as names: what to load and how to join it."""

    nodes: tuple[NodePlan, ...]
    network: tuple[Wire, ...] = ()
    """Between ports, numbered through all nodes."""
    paths: Paths = "first"

    @property
    def parts(self) -> tuple[str, ...]:
        """Part of every device of the cluster."""
        return tuple(chain.from_iterable(node.parts for node in self.nodes))

    @property
    def routing(self) -> Routing:
        """How the cluster chooses paths: GPUs pass nothing on where there is another way."""
        first = self.nodes[0]
        sizes = {len(node.parts) for node in self.nodes}
        named = [
            tuple(_global(name, place, 0, len(self.nodes)) for name in node.exits)
            for place, node in enumerate(self.nodes)
        ]
        alike = len(sizes) == 1 and all(node.dims == first.dims for node in self.nodes)
        return Routing(
            paths=self.paths,
            relay=not (self.network or first.host),
            node_devices=sizes.pop() if alike and len(self.nodes) > 1 else 0,
            exits=tuple(str(name) for name in chain.from_iterable(named)) if self.network else (),
            dims=first.dims if alike else (),
            wrap=first.wrap if alike else (),
        )

    def wires(self) -> Iterator[tuple[Wire, int | None]]:
        """Yield every wire by global names; of one of the network also how many ends are ports."""
        count = len(self.nodes)
        starts = list(accumulate((len(node.parts) for node in self.nodes), initial=0))
        ports: list[Node] = []
        for place, node in enumerate(self.nodes):
            base = starts[place]
            ports += [_global(port, place, base, count) for port in node.ports]
            for wire in chain(node.fabric, node.host):
                start = _global(wire.start, place, base, count)
                end = _global(wire.end, place, base, count)
                yield wire._replace(start=start, end=end), None
        for wire in self.network:
            ends = [isinstance(end, int) for end in (wire.start, wire.end)]
            start, end = (ports[e] if isinstance(e, int) else e for e in (wire.start, wire.end))
            yield wire._replace(start=start, end=end), sum(ends)


def node_plan(part: ClusterPart, folder: Path, problems: list[str]) -> NodePlan:
    """Return the node that a file describes; add what is wrong to ``problems``.

    Files of parts that the file names are looked for in ``folder``.
    """
    parts = tuple(chain.from_iterable([_beside(folder, b.part)] * b.count for b in part.devices))
    fabric = _build("fabric", part.fabric, len(parts), folder, problems)
    host = _build("host", part.host, len(parts), folder, problems)
    nics = sorted(
        {str(end) for wire in (*fabric, *host) for end in (wire.start, wire.end) if _is_nic(end)},
        key=lambda name: (len(name), name),
    )
    dims: tuple[int, ...] = ()
    wrap: tuple[bool, ...] = ()
    if part.fabric and part.fabric.builder == "torus" and not problems:
        told = {key: v for key, v in part.fabric.arguments.items() if key != "link"}
        dims, wrap = tuple(told["dims"]), wraps(**told)
    return NodePlan(
        parts=parts,
        fabric=fabric,
        host=host,
        ports=tuple(nics) or tuple(range(len(parts))),
        exits=_exits(len(parts), nics, (*fabric, *host)) if nics else (),
        dims=dims,
        wrap=wrap,
    )


def blueprint(
    nodes: Sequence[NodePlan], part: ClusterPart, folder: Path, problems: list[str]
) -> Blueprint:
    """Join ``nodes`` by the network of the file; a single node needs none."""
    if len(nodes) == 1 or problems or not part.network:
        return Blueprint(nodes=tuple(nodes))
    ports = sum(len(node.ports) for node in nodes)
    network = _build("network", part.network, ports, folder, problems)
    return Blueprint(nodes=tuple(nodes), network=network, paths=part.network.paths)


def _build(
    key: str, block: BuilderBlock | None, ends: int, folder: Path, problems: list[str]
) -> tuple[Wire, ...]:
    """Run the builder of a block."""
    if block is None:
        return ()
    wires: list[Wire] = []
    try:
        for wire in block.build(ends):
            wires.append(_at(folder, wire))  # noqa: PERF401 - kept when a later one is wrong
    except ProfileError as error:
        problems += [f"{key}.{sentence}" for sentence in str(error).split("; ")]
    return tuple(wires)


def _at(folder: Path, wire: Wire) -> Wire:
    own = wire.link.endswith(".toml")
    return wire._replace(link=_beside(folder, wire.link)) if own else wire


def _beside(folder: Path, ref: str) -> str:
    """Return the name of a part, or of its file, with how many it counts before it."""
    count, x, name = ref.rpartition(" x ")
    return f"{count}{x}{folder / name}" if name.endswith(".toml") else ref


def _global(node: Node, place: int, base: int, count: int) -> Node:
    """Return the name of a node's own end in the cluster; a single node keeps its names."""
    if isinstance(node, int):
        return base + node
    return f"node{place}.{node}" if count > 1 else node


def _is_nic(end: Node) -> bool:
    return isinstance(end, str) and end.startswith(NIC)


def _exits(devices: int, nics: Sequence[str], wires: Sequence[Wire]) -> tuple[str, ...]:
    """Return the nearest NIC of each device; of several as near, shares of them in order."""
    joined: dict[Node, list[Node]] = {}
    for wire in wires:
        joined.setdefault(wire.start, []).append(wire.end)
        joined.setdefault(wire.end, []).append(wire.start)
    exits = []
    for device in range(devices):
        seen: set[Node] = {device}
        border: list[Node] = [device]
        while border and not (found := [nic for nic in nics if nic in seen]):
            border = [
                n
                for at in border
                for n in joined.get(at, ())
                if isinstance(n, str) and n not in seen
            ]
            seen.update(border)
        found = found or list(nics)
        exits.append(found[device * len(nics) // devices % len(found)])
    return tuple(exits)

"""Tiers of a cluster, innermost first: what a device and a half of them can send in each.

From the file of the cluster and of its links alone; no cluster is built.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

from hwprofiles.bisection import flow_bytes_per_s
from hwprofiles.clusterfacts import BuilderBlock, ClusterPart
from hwprofiles.clusters import load_wires, plan_cluster
from hwprofiles.compose import Blueprint, NodePlan
from hwprofiles.fabrics.base import Wire, place_of
from hwprofiles.link import Link
from hwprofiles.units import GB


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One level of a cluster; every rate counts one direction."""

    name: str
    """``scale-up``: between the devices of a node; ``host``: the same where only the host joins
    them; ``scale-out``: between nodes."""
    builder: str
    devices: int
    """Devices that this tier and those inside it join."""
    link: str
    """What a device (scale-out: a NIC) is joined by."""
    ports: int
    """Wires of a device; of a scale-out tier NICs of a node."""
    port_bytes_per_s: float
    """The widest of these: the most to one peer."""
    device_bytes_per_s: float
    """All of them; of a scale-out tier a device's share of its node's NICs."""
    bisection_bytes_per_s: float | None
    """From one half of the devices (a torus: across its longest side) to the other; None for the
    network of a single node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUse:
    """How often a link part is used, both ways counted once."""

    name: str
    count: float
    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A cluster as a reader meets it: facts of its file, tiers and links."""

    name: str
    part: ClusterPart
    plan: Blueprint
    tiers: tuple[Tier, ...]
    links: tuple[LinkUse, ...]

    @property
    def bisection_bytes_per_s(self) -> float | None:
        """That of the outermost tier that has one."""
        found = [t.bisection_bytes_per_s for t in self.tiers if t.bisection_bytes_per_s]
        return found[-1] if found else None


def describe(spec: str | Path) -> System:
    """Return what there is to say about the cluster that ``spec`` names.

    Raises
    ------
    ProfileError
        As :func:`hwprofiles.clusters.load_cluster`.
    """
    name, _, part, plan = plan_cluster(spec)
    rate = cache(lambda ref: load_wires(ref).bandwidth_bytes_per_s)
    node = plan.nodes[0]
    tiers = []
    inner = plan_cluster(part.nodes[0].system)[2] if part.nodes else part
    if node.fabric and inner.fabric:
        tiers.append(_inside(inner.fabric, node, node.fabric, rate, "scale-up"))
    elif node.host and inner.host:
        tiers.append(_inside(inner.host, node, node.host, rate, "host"))
    if part.network:
        tiers.append(_between(part.network, plan, rate))
    counts: defaultdict[str, float] = defaultdict(float)
    for plan_of_node, times in _distinct(plan.nodes):
        for wire in (*plan_of_node.fabric, *plan_of_node.host):
            counts[wire.link] += times * wire.cables
    for wire in plan.network:
        counts[wire.link] += wire.cables
    return System(
        name=name,
        part=part,
        plan=plan,
        tiers=tuple(tiers),
        links=tuple(
            LinkUse(name=ref, count=count, link=load_wires(ref)) for ref, count in counts.items()
        ),
    )


def _distinct(nodes: Sequence[NodePlan]) -> Iterable[tuple[NodePlan, int]]:
    """Return every node that is planned once with how often it stands in a cluster."""
    times = Counter(map(id, nodes))
    return [(node, times[key]) for key, node in {id(node): node for node in nodes}.items()]


def _inside(
    block: BuilderBlock,
    node: NodePlan,
    wires: Sequence[Wire],
    rate: Callable[[str], float],
    name: str,
) -> Tier:
    size = len(node.parts)
    own = [wire for wire in wires if 0 in (wire.start, wire.end) and not _to_nic(wire)]
    rates = [rate(wire.link) * wire.cables for wire in own]
    halves = list(_halves(size, node.dims))
    flows = [flow_bytes_per_s(wires, rate, *half) for half in halves]
    return Tier(
        name=name,
        builder=block.builder,
        devices=size,
        link=own[0].link if own else "",
        ports=len(own),
        port_bytes_per_s=max(rates, default=0.0),
        device_bytes_per_s=sum(rates),
        bisection_bytes_per_s=min(flows, default=None),
    )


def _between(block: BuilderBlock, plan: Blueprint, rate: Callable[[str], float]) -> Tier:
    node = plan.nodes[0]
    link = str(block.arguments["link"])
    flow = None
    if len(plan.nodes) > 1:
        left = sum(len(n.ports) for n in plan.nodes[: len(plan.nodes) // 2])
        ports = sum(len(n.ports) for n in plan.nodes)
        flow = flow_bytes_per_s(plan.network, rate, range(left), range(left, ports))
    return Tier(
        name="scale-out",
        builder=block.builder,
        devices=len(plan.parts),
        link=link,
        ports=len(node.ports),
        port_bytes_per_s=rate(link),
        device_bytes_per_s=rate(link) * len(node.ports) / len(node.parts),
        bisection_bytes_per_s=flow,
    )


def _halves(size: int, dims: Sequence[int]) -> Iterator[tuple[set[int], set[int]]]:
    """Yield ways to halve ``size`` ends: by number, of a torus along every dimension."""
    if prod(dims) != size or not dims:
        dims = (size,)
    for axis, length in enumerate(dims):
        if length > 1:
            left = {end for end in range(size) if place_of(end, dims)[axis] < length // 2}
            yield left, set(range(size)) - left


def _to_nic(wire: Wire) -> bool:
    return any(isinstance(end, str) and end.startswith("nic") for end in (wire.start, wire.end))


def format_rate(bytes_per_s: float) -> str:
    """Return a rate of a link as vendors print it.

    >>> format_rate(62.5e9), format_rate(1.152e14)
    ('62.5 GB/s', '115,200 GB/s')
    """
    rate = bytes_per_s / GB
    return f"{rate:,.0f} GB/s" if rate >= 1000 else f"{rate:.4g} GB/s"

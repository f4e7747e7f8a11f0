"""Links of a cluster as a communication library uses them: rate and latency of fitted stacks.

A transfer of a plan is one step of a collective. On a link whose transport stack is fitted to
published collectives it takes a hop of that stack, and its bytes at the share of the wire that a
ring reaches, under whichever wire protocol is quickest for them:

    min over protocols p of (hop_p + bytes / rate_p),

which is a latency that grows with the bytes up to that of the quickest protocol, and the rate of
that: a :class:`Link` like any other, so that bound, closed form and simulation see it alike. What a
library pays once a call (its launch, and the fill of its pipeline) the link says by protocol, and
:mod:`planner.library_cost` adds to the first transfers of a call. Flows that a switch adds up or
copies reach a share of their own (``Link.switched``), and their latency is in the launch.

ASSUMES: a network's constants are of the whole way from device to device, so that the wires of the
host which lead to NICs add no latency to it; switches of a network beyond the first do, as always.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from hwprofiles.cluster import Cluster
from hwprofiles.grade import Grade
from hwprofiles.link import Link, Protocol
from hwprofiles.transport import (
    WIRE_SHARE,
    fitted_stacks,
    interval_of,
    protocols_of,
    shipped,
    stack_of,
    transports,
)
from planner.evidence import StackEvidence
from planner.records import edges_of
from planner.transport_law import launch_of, ramps
from planner.wires import WireName, name_wires, node_of

HOST = "pcie"
"""The stack of a host's wires: that of a group only where no other wires join its devices."""


def fitted_links(cluster: Cluster) -> tuple[Cluster, tuple[StackEvidence, ...]]:
    """Return a cluster whose links are as its fitted stacks use them, and what that rests on.

    Links through no stack, and those of stacks without a fitted constant, stay the datasheet's.
    """
    wires = name_wires(edges_of(cluster), cluster.links, cluster.routing)
    inside = {stack_of(w.link.name) for w in wires if w.tier == "intra" and _ends(w)}
    serves_nics = bool(inside - {HOST, None}) and any(w.tier == "inter" for w in wires)
    found: dict[tuple[int, float, bool], Link] = {}
    links, used = [], dict[str, dict[str, None]]()
    for wire in wires:
        stack = stack_of(wire.link.name)
        is_host = wire.tier == "intra" and stack in (HOST, None) and inside != {HOST}
        ends = float(_ends(wire) if wire.tier == "intra" else _ports(wire, cluster))
        key = (id(wire.link), ends, is_host)
        if key not in found:
            if is_host:
                found[key] = _passage(wire.link) if serves_nics else wire.link
            else:
                found[key] = _fitted(wire, stack, ends)
        links.append(found[key])
        if stack in fitted_stacks() and not is_host:
            used.setdefault(str(stack), {})[wire.link.name.rpartition(" x ")[2]] = None
    return cluster.with_links(links), tuple(_evidence(stack, used[stack]) for stack in used)


def fitted_link(link: Link, hops_s: Mapping[str, float], shares: Mapping[str, float]) -> Link:
    """Return a link of which each protocol has a latency, seconds, and a share of the rate."""
    best = max(shares, key=lambda name: shares[name])
    rate = link.bandwidth_bytes_per_s
    slower = {name: (1 / share - 1 / shares[best]) / rate for name, share in shares.items()}
    sizes = {0.0}
    for one, other in combinations(shares, 2):
        apart = slower[one] - slower[other]
        if apart and (size := (hops_s[other] - hops_s[one]) / apart) > 0:
            sizes.add(size)
    points, most = [], 0.0
    for size in sorted(sizes):
        most = max(most, min(hops_s[name] + size * slower[name] for name in shares))
        points.append((size, most))
    return replace(
        link,
        bandwidth_bytes_per_s=rate * shares[best],
        flow_cap_bytes_per_s=link.flow_cap_bytes_per_s * shares[best],
        overheads=tuple(points),
        grade=Grade.FITTED,
    )


def _fitted(wire: WireName, stack: str | None, ends: float) -> Link:
    """Return the link of a wire; half of a hop is paid at each of its ``ends``."""
    link = wire.link
    if stack not in fitted_stacks():
        return link
    constants, half, is_network = shipped(), ends / 2, wire.tier == "inter"
    hops_s, shares = dict[str, float](), dict[str, float]()
    for protocol in protocols_of(str(stack)):
        hop = "simple_hop" if protocol == "simple" else "hop"
        hops_s[protocol] = constants[f"{stack}.{hop}"]
        if is_network:
            shares[protocol] = constants[f"{stack}.ring_share"] * WIRE_SHARE[protocol]
        else:
            shares[protocol] = constants[f"{stack}.{protocol}_share"]
    found = fitted_link(link, hops_s, shares)
    best = max(shares.values())
    protocols = tuple(
        Protocol(
            name=name,
            launch_s=half * constants[f"{stack}.{launch_of(None if is_network else name)}"],
            hop_s=half * hops_s[name],
            rate_frac=shares[name] / best,
            ramp_s=constants[f"{stack}.ramp"] if ramps(name, is_network) else 0.0,
        )
        for name in shares
    )
    switch_s = link.overheads[0][1] if is_network and not ends else 0.0
    points = tuple((size, switch_s + half * seconds) for size, seconds in found.overheads)
    block = transports()["stacks"][stack]
    source = (
        f"{block['library']}, fitted to {block['rows']} rows of"
        f" {block['sources']} source{'s' * (block['sources'] != 1)};"
        f" {link.source}"
    )
    return replace(
        found,
        overheads=points if half else points[:1],
        source=source,
        protocols=protocols,
        switched=None if is_network else _switched(str(stack), half, best),
    )


def _switched(stack: str, half: float, best: float) -> Protocol | None:
    """Return how a stack has its switch add, None where it does not; ``best`` is a ring's share."""
    constants = shipped()
    if not transports()["stacks"][stack].get("adds", False):
        return None
    return Protocol(
        name="nvls",
        launch_s=half * constants[f"{stack}.nvls_launch"],
        rate_frac=constants[f"{stack}.nvls_share"] / best,
        ramp_s=constants[f"{stack}.nvls_ramp"],
    )


def _passage(link: Link) -> Link:
    """Return a wire of the host on the way to a NIC: its latency is in that of the network."""
    return replace(link, overheads=((0.0, 0.0),), grade=Grade.FITTED)


def _ends(wire: WireName) -> int:
    """Return how many ends of a wire are devices."""
    return sum(isinstance(end, int) for end in (wire.start, wire.end))


def _ports(wire: WireName, cluster: Cluster) -> int:
    """Return how many ends of a wire of the network belong to nodes."""
    return sum(node_of(end, cluster.routing) is not None for end in (wire.start, wire.end))


def _evidence(stack: str, links: Mapping[str, None]) -> StackEvidence:
    block = transports()["stacks"][stack]
    kind = "beyond" if "ring_share" in block["constants"] else "node"
    return StackEvidence(
        name=stack,
        library=block["library"],
        links=tuple(links),
        rows=block["rows"],
        sources=block["sources"],
        interval_frac=interval_of(1.0, f"large_{kind}"),
    )

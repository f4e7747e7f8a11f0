"""Groups of ranks on a system, as the links of the system compose them.

A domain is what the links inside a node join; ranks are the first devices of every domain. Which
transport stack a link goes through is said by :mod:`hwprofiles.transport`.
"""

from collections.abc import Container, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from hwprofiles.clusters import load_wires, plan_cluster
from hwprofiles.compose import NIC, NodePlan
from hwprofiles.errors import ProfileError
from hwprofiles.tiers import Tier, describe
from hwprofiles.transport import protocols_of, seen_stacks, stack_of, transports
from hwprofiles.units import KIB
from planner.transport_law import Group, Lane

SMALL_BYTES = 64 * KIB
"""Below this size a call is latency above all."""


def domain_size(system: str) -> int:
    """Return how many devices the links inside a node of ``system`` join."""
    return len(_node(system).parts)


def group_of(system: str, ranks: int, domains: int = 1, between: Lane | None = None) -> Group:
    """Return ``ranks`` of a system, spread evenly over ``domains`` of its nodes.

    ``between`` takes the place of the system's own NICs, all of one node.

    Raises
    ------
    ProfileError
        When a domain is smaller, or a link goes through no stack that is known.
    """
    each, size = -(-ranks // domains), domain_size(system)
    if each > size:
        raise ProfileError(
            f"{system}: expected at most {size} ranks in a node, got {each}; use more nodes"
        )
    inside = _inside(system, each) if each > 1 else None
    outside = None
    if domains > 1:
        outside = _used(between or network_lane(system), each, size)
    return Group(
        ranks=ranks,
        domains=domains,
        inside=inside,
        between=outside,
        switch_adds=inside is not None and bool(_block(inside.stack).get("adds", False)),
    )


def lane_of(link: str, bytes_per_s: float, port_bytes_per_s: float) -> Lane:
    """Return a lane over a link part.

    Raises
    ------
    ProfileError
        When no stack is known for the link.
    """
    stack = stack_of(link)
    if stack is None:
        raise ProfileError(
            f"link {link!r}: expected one that a transport stack is known for; name the link whose"
            " behaviour is nearest"
        )
    return lane(stack, bytes_per_s, port_bytes_per_s)


def lane(stack: str, bytes_per_s: float, port_bytes_per_s: float) -> Lane:
    """Return a lane through a stack, with the protocols that it can use."""
    return Lane(
        stack=stack,
        bytes_per_s=bytes_per_s,
        port_bytes_per_s=port_bytes_per_s,
        protocols=protocols_of(stack),
    )


@cache
def network_lane(system: str) -> Lane:
    """Return what all NICs of one node of a system carry.

    Raises
    ------
    ProfileError
        When the system has no network, or no stack is known for its link.
    """
    tier = _network(system)
    if tier is None:
        raise ProfileError(f"{system}: expected a network between nodes, got none; name another")
    return lane_of(tier.link, tier.port_bytes_per_s * tier.ports, tier.port_bytes_per_s)


@cache
def nics(system: str) -> int:
    """Return the number of NICs of a node, 0 where there is no network."""
    tier = _network(system)
    return tier.ports if tier else 0


def _network(system: str) -> Tier | None:
    return next((t for t in describe(system).tiers if t.name == "scale-out"), None)


def _used(whole: Lane, each: int, size: int) -> Lane:
    """Return the part of a node's NICs that so many of its devices are near to."""
    used = max(whole.bytes_per_s * min(1.0, each / size), whole.port_bytes_per_s)
    return replace(whole, bytes_per_s=used)


@cache
def _node(system: str) -> NodePlan:
    return plan_cluster(system)[3].nodes[0]


@cache
def _inside(system: str, each: int) -> Lane:
    """Return what the first ``each`` devices of a node can send each other."""
    node = _node(system)
    wires = node.fabric or node.host
    rates = {wire.link: load_wires(wire.link).bandwidth_bytes_per_s for wire in wires}
    sums = dict.fromkeys(range(each), 0.0)
    widest, link = 0.0, ""
    for wire in wires:
        ends = [end for end in (wire.start, wire.end) if isinstance(end, int)]
        others = [end for end in (wire.start, wire.end) if not isinstance(end, int)]
        leaves = any(end >= each for end in ends) or any(str(o).startswith(NIC) for o in others)
        if leaves or not ends:
            continue
        for end in ends:
            sums[end] += rates[wire.link] * wire.cables
        if (rate := rates[wire.link] * wire.cables) > widest:
            widest, link = rate, wire.link
    if not min(sums.values()):
        raise ProfileError(f"{system}: expected its first {each} devices to be joined by links")
    return lane_of(link, min(sums.values()), widest)


def _block(stack: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = transports()["stacks"][stack]
    return found


def interval_kind(group: Group, payload_bytes: float, seen: Container[str] | None = None) -> str:
    """Return which width a prediction has: by size, and by what is known of its stacks.

    Inside a node less is unknown than over a network, and most of a stack that no row went through.
    ``seen`` are the stacks of other constants than the shipped.
    """
    known = seen_stacks() if seen is None else seen
    size = "small" if payload_bytes < SMALL_BYTES else "large"
    if any(stack not in known for stack in group.stacks):
        return f"{size}_unseen"
    return f"{size}_{'beyond' if group.between else 'node'}"

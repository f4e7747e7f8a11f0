"""How long a communication library takes for a collective: one law for plans and published rows.

A collective has several *ways*: an algorithm under a wire protocol. A way is latencies that add up,
legs that are passed at once (the slowest counts), and a ramp; the volumes of its legs are those of
the algorithm, so that what is fitted are only latencies and shares of the wire. The library takes
the cheapest way. With ``x`` the time of the slowest leg a way takes

    sum of latencies + x + 2 sqrt(ramp x),

the cross term of a pipeline cut into pieces of the best size. Every term grows with the payload.

Volumes, for ``S`` bytes, ``n`` ranks in ``N`` domains of ``p``: a ring carries ``2 (n-1)/n S``
through every rank and out of every domain; a tree between domains carries ``S`` out of each of two
and ``2 S`` out of more, and inside ``2 S`` along a chain; a switch that adds (NVLS) takes
``(p+1)/p S`` from a rank. LL over a network is held to a ceiling of the library's too. Sources:
NVIDIA/nccl, src/graph/tuning.cc (v2.30.7-1); Thakur and Gropp, Euro PVM/MPI 2003.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwprofiles.errors import PlanError
from hwprofiles.transport import PROTOCOLS, SHARED, WIRE_SHARE, Constants

LL_BYTES_PER_S = (39.0e9, 20.4e9)
"""Most that LL moves between two nodes, and between more. Source: NVIDIA/nccl, src/graph/tuning.cc
(v2.30.7-1), the row of hosts of Intel's kind."""
OPERATIONS = (
    "all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce", "all_to_all",
    "send_receive",
)  # fmt: skip
ALGORITHMS = ("ring", "tree", "nvls", "direct")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What carries the bytes of a rank inside its domain, or of a domain to others."""

    stack: str
    bytes_per_s: float
    """All wires that the group can use, one direction, at the datasheet's rate."""
    port_bytes_per_s: float
    """The most between one pair of ranks: on a mesh one wire, of a network one NIC."""
    protocols: tuple[str, ...] = PROTOCOLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Ranks that exchange, spread evenly over domains; a domain is what ``inside`` joins."""

    ranks: int
    domains: int
    inside: Lane | None
    """Of one rank; None where every rank is alone in its domain."""
    between: Lane | None
    """Of one domain; None where there is one."""
    switch_adds: bool = False
    """Whether the switch inside can add (NVLS)."""

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks that its bytes go through, from the inside."""
        return tuple(lane.stack for lane in (self.inside, self.between) if lane)

    @property
    def each(self) -> float:
        """Ranks of a domain."""
        return self.ranks / self.domains


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """Bytes over one lane."""

    wire_s: float
    """Time at the datasheet's rate."""
    shares: tuple[str, ...]
    """Constants that are multiplied: the share of that rate that is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run a collective, in constants that are not looked up yet."""

    algorithm: str
    protocol: str
    latencies: tuple[tuple[str, float], ...]
    """Constants and how often each is paid."""
    legs: tuple[Leg, ...]
    ramp: str | None
    """The constant under the root."""

    def time_s(self, constants: Constants) -> float:
        """Return the time of one call."""
        latency_s = sum(constants[name] * count for name, count in self.latencies)
        moved_s = max(
            leg.wire_s / math.prod(constants[name] for name in leg.shares) for leg in self.legs
        )
        ramp_s = 2 * math.sqrt(constants[self.ramp] * moved_s) if self.ramp else 0.0
        return latency_s + moved_s + ramp_s


def ways(
    operation: str, payload_bytes: float, group: Group, algorithm: str | None = None
) -> list[Way]:
    """Return the ways in which a group can run a collective.

    Parameters
    ----------
    operation : str
        One of ``OPERATIONS``.
    payload_bytes : float
        The whole array of one rank, before it is scattered or after it is gathered; of a
        send and receive, what a rank sends.
    algorithm : str, optional
        One of ``ALGORITHMS``, where the choice is not the library's.

    Raises
    ------
    PlanError
        When the group cannot run the collective, or not by that algorithm.
    """
    if group.ranks < 2 or not (group.inside or group.between):
        raise PlanError(f"group: expected two ranks or more that are joined, got {group.ranks}")
    if operation in ("all_to_all", "send_receive"):
        found = list(_direct(operation, payload_bytes, group))
    else:
        found = [*_rings(operation, payload_bytes, group)]
        if operation == "all_reduce":
            found += [*_trees(payload_bytes, group), *_switched(payload_bytes, group)]
    chosen = [way for way in found if algorithm in (None, way.algorithm)]
    if not chosen:
        raise PlanError(
            f"algorithm {algorithm!r}: expected one that runs {operation} on this group, one of"
            f" {', '.join(dict.fromkeys(way.algorithm for way in found))}"
        )
    return chosen


def protocols_of(group: Group) -> list[str]:
    """Return the protocols that every lane of a group can use."""
    lanes = [lane for lane in (group.inside, group.between) if lane]
    return [p for p in PROTOCOLS if all(p in lane.protocols for lane in lanes)]


def _rings(operation: str, payload_bytes: float, group: Group) -> Iterator[Way]:
    """One ring through all ranks, as many channels as fill the wires."""
    n, halves = group.ranks, 2 if operation == "all_reduce" else 1
    steps, crossings = halves * (n - 1), halves * (group.domains - 1)
    is_rooted = operation in ("broadcast", "reduce")
    volume_bytes = payload_bytes * (1.0 if is_rooted else steps / n)
    for protocol in protocols_of(group):
        legs, latencies = [], _launch(group, protocol)
        if group.inside:
            latencies.append((_hop(group.inside, protocol), steps - crossings))
            # a ring leaves each domain once, through the NIC of one rank
            kept = 1.0 if group.domains == 1 else 1 - 1 / group.each
            legs.append(_inside(group.inside, protocol, volume_bytes * kept))
        if group.between:
            latencies.append((_hop(group.between, protocol), crossings))
            legs.append(_between(group.between, protocol, volume_bytes, "ring_share"))
            if protocol == "ll":
                legs.append(_flags(group, volume_bytes))
        yield _way("ring", protocol, latencies, legs, _ramp(group, protocol))


def _trees(payload_bytes: float, group: Group) -> Iterator[Way]:
    """A double tree between domains, over a chain inside each."""
    if not group.between:
        return
    up_down = 2 * math.ceil(math.log2(group.domains))
    for protocol in protocols_of(group):
        latencies = [*_launch(group, protocol)]
        latencies.append((_hop(group.between, protocol), up_down))
        legs = [_tree_leg(group, group.between, protocol, payload_bytes)]
        if protocol == "ll":
            legs.append(_flags(group, _tree_bytes(group, payload_bytes)))
        if group.inside:
            latencies.append((_hop(group.inside, protocol), 2 * (group.each - 1)))
            legs.append(_inside(group.inside, protocol, 2 * payload_bytes))
        yield _way("tree", protocol, latencies, legs, _ramp(group, protocol))


def _switched(payload_bytes: float, group: Group) -> Iterator[Way]:
    """The switch inside adds and copies; a tree joins the domains."""
    inside, between = group.inside, group.between
    if not group.switch_adds or not inside:
        return
    latencies = [(f"{inside.stack}.nvls_launch", 1.0)]
    volume_bytes = payload_bytes * (group.each + 1) / group.each
    share = (f"{inside.stack}.nvls_share",)
    legs = [Leg(wire_s=volume_bytes / inside.bytes_per_s, shares=share)]
    if between:
        up_down = 2 * math.ceil(math.log2(group.domains))
        latencies += [(f"{between.stack}.launch", 1.0), (_hop(between, "simple"), up_down)]
        legs.append(_tree_leg(group, between, "simple", payload_bytes))
    ramp = f"{between.stack}.ramp" if between else f"{inside.stack}.nvls_ramp"
    yield _way("nvls", "simple", latencies, legs, ramp)


def _direct(operation: str, payload_bytes: float, group: Group) -> Iterator[Way]:
    """Every rank sends to its peers: to the next one, or a part to each.

    What stays inside and what leaves goes at the same time, so the hop of a network, which is the
    longer one, stands for both.
    """
    n, each = group.ranks, group.each
    farthest = group.between or group.inside
    assert farthest
    is_pair = operation == "send_receive"
    peers = 1.0 if is_pair else n - 1.0
    for protocol in protocols_of(group):
        if protocol == "ll128":  # point to point knows LL and Simple
            continue
        legs, latencies = [], _launch(group, protocol)
        latencies += [(f"{SHARED}.peer", peers), (_hop(farthest, protocol), 1.0)]
        if group.inside:
            inside = group.inside
            sent_bytes = payload_bytes * (1.0 if is_pair else (each - 1) / n)
            rate = inside.port_bytes_per_s if is_pair else inside.bytes_per_s
            shares = (f"{inside.stack}.{protocol}_share", f"{SHARED}.direct_share")
            legs.append(Leg(wire_s=sent_bytes / rate, shares=shares))
        if group.between:
            between = group.between
            sent_bytes = payload_bytes * (1.0 if is_pair else each * (n - each) / n)
            rate = between.port_bytes_per_s if is_pair else between.bytes_per_s
            wire_s = sent_bytes / rate / WIRE_SHARE[protocol]
            legs.append(Leg(wire_s=wire_s, shares=(f"{between.stack}.direct_share",)))
        yield _way("direct", protocol, latencies, legs, _ramp(group, protocol))


def _launch(group: Group, protocol: str) -> list[tuple[str, float]]:
    """Return what a call costs before its first step."""
    found = []
    if group.inside:
        found.append((f"{group.inside.stack}.{launch_of(protocol)}", 1.0))
    if group.between:
        found.append((f"{group.between.stack}.{launch_of(None)}", 1.0))
    return found


def launch_of(protocol: str | None) -> str:
    """Return the constant of what a call costs: inside a node by protocol, over a network one."""
    return f"{protocol}_launch" if protocol else "launch"


def _hop(lane: Lane, protocol: str) -> str:
    """Return the constant of one step; where flags lie in the data, both kinds take the same."""
    return f"{lane.stack}.{'simple_hop' if protocol == 'simple' else 'hop'}"


def _ramp(group: Group, protocol: str) -> str | None:
    """Return the ramp of a pipeline cut into pieces; packets of LL and LL128 are small as they are.

    Over a network those of LL128 are gathered into messages again.
    """
    lane = group.between or group.inside
    return f"{lane.stack}.ramp" if lane and ramps(protocol, bool(group.between)) else None


def ramps(protocol: str, is_network: bool) -> bool:
    """Whether a protocol's pipeline is cut into pieces that take time to fill."""
    return protocol == "simple" or (protocol == "ll128" and is_network)


def _inside(lane: Lane, protocol: str, volume_bytes: float) -> Leg:
    return Leg(wire_s=volume_bytes / lane.bytes_per_s, shares=(f"{lane.stack}.{protocol}_share",))


def _between(lane: Lane, protocol: str, volume_bytes: float, share: str) -> Leg:
    wire_s = volume_bytes / lane.bytes_per_s / WIRE_SHARE[protocol]
    return Leg(wire_s=wire_s, shares=(f"{lane.stack}.{share}",))


def _flags(group: Group, volume_bytes: float) -> Leg:
    """Return what the ranks that send and look for flags under LL take over a network."""
    rate = LL_BYTES_PER_S[min(group.domains, 3) - 2]
    return Leg(wire_s=volume_bytes / rate, shares=())


def _tree_leg(group: Group, lane: Lane, protocol: str, payload_bytes: float) -> Leg:
    return _between(lane, protocol, _tree_bytes(group, payload_bytes), "tree_share")


def _tree_bytes(group: Group, payload_bytes: float) -> float:
    """Return what leaves a domain: up, and down where there is one below."""
    return payload_bytes * (1 if group.domains == 2 else 2)


def _way(
    algorithm: str,
    protocol: str,
    latencies: Sequence[tuple[str, float]],
    legs: Sequence[Leg],
    ramp: str | None,
) -> Way:
    return Way(
        algorithm=algorithm,
        protocol=protocol,
        latencies=tuple(latencies),
        legs=tuple(legs),
        ramp=ramp,
    )

"""What a communication library pays once for a collective, beside what its steps take.

A transfer of a plan is a step of the library's ring (:mod:`planner.fitted_links`). A call costs
more: its launch, and the fill of its pipeline; and it has one wire protocol, where each transfer
has the quickest for its bytes. Under protocol p a call of so many steps takes

    launch_p + steps hop_p + x_p + 2 sqrt(ramp_p x_p),

``x_p`` being the time of its bytes; what the cheapest p takes over the same steps without launch
and ramp under the protocol that is quickest then is what is paid. So a ring of a plan, additions
apart, takes what the law of :mod:`planner.transport_law` says. The first transfers of a call carry
it in their overhead: those that wait for no other one, so that every chain of moves has it once.

A reduction in the switch runs in pieces of its own, which fill a pipeline too: of the library's
fill only what they do not take is paid.

ASSUMES: where ranks sit in several nodes, all steps are as those between nodes, under the protocol
of the highest rate: of many bytes, so that it never falls with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import inf, sqrt

from hwprofiles.cluster import Cluster
from hwprofiles.link import Protocol, Route
from hwprofiles.units import to_ps
from planner.algorithms import algorithm, carried_frac, is_switched, name_at
from planner.collectives import in_network
from planner.opcall import DTYPE_BYTES
from planner.wires import node_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """How a library uses the slowest route between neighbours inside nodes, or between them."""

    bytes_per_s: float
    protocols: Mapping[str, Protocol]
    switched: Protocol | None

    @classmethod
    def of(cls, route: Route) -> "Tier":
        """Return what the links of a route are together; of some a library may know nothing."""
        known = [link.protocols for link in route.links if link.protocols]
        names = [p.name for p in known[0]] if known else []
        together = {}
        for name in names:
            own = [p for some in known for p in some if p.name == name]
            if len(own) == len(known):
                together[name] = _together(own)
        switched = [link.switched for link in route.links if link.switched]
        return cls(
            bytes_per_s=route.bandwidth_bytes_per_s,
            protocols=together,
            switched=_together(switched) if len(switched) == len(route.links) else None,
        )


def library_prices(
    placement: Sequence[int], cluster: Cluster, dtype: str, ranks: int = 0
) -> Callable[[str, int], int]:
    """Return ``(algorithm, elements)`` to picoseconds, each worked out once.

    ``ranks`` is their number where the devices of ``placement`` stand for all.
    """
    item, count = DTYPE_BYTES[dtype], ranks or len(placement)

    @cache
    def tiers() -> tuple[Tier, ...]:
        return _tiers(placement, cluster)

    @cache
    def library_ps(name: str, elements: int) -> int:
        own = name_at(name, elements)
        return to_ps(call_s(own, count, float(elements * item), tiers())) if tiers() else 0

    return library_ps


def call_s(name: str, ranks: int, payload_bytes: float, tiers: Sequence[Tier]) -> float:
    """Return what a call pays once, seconds; ``tiers`` from the inside, at least one."""
    volume_bytes = carried_frac(name, ranks) * payload_bytes
    if is_switched(name):
        return _switched_s(name, ranks, payload_bytes, volume_bytes, tiers[0])
    steps, outer = algorithm(name).steps(ranks), tiers[-1]
    moved_s = {
        protocol.name: volume_bytes / outer.bytes_per_s / protocol.rate_frac
        for protocol in outer.protocols.values()
    }
    stepped_s = {p: steps * outer.protocols[p].hop_s + moved_s[p] for p in moved_s}
    without_s = stepped_s[min(moved_s, key=lambda p: moved_s[p])]
    if len(tiers) == 1:
        without_s = min(stepped_s.values())
    found = []
    for protocol in outer.protocols.values():
        own = [tier.protocols.get(protocol.name) for tier in tiers]
        launch_s = sum(one.launch_s if one else inf for one in own)
        ramp_s = 2 * sqrt(protocol.ramp_s * moved_s[protocol.name])
        found.append(launch_s + ramp_s + max(0.0, stepped_s[protocol.name] - without_s))
    return min(found, default=0.0)


def _switched_s(
    name: str, ranks: int, payload_bytes: float, volume_bytes: float, inside: Tier
) -> float:
    protocol = inside.switched
    if protocol is None:
        return 0.0
    rate = inside.bytes_per_s * protocol.rate_frac
    pieces = getattr(algorithm(name), "numbers", ())
    own_s = in_network.fill_frac(ranks, *pieces) * payload_bytes / rate
    fill_s = 2 * sqrt(protocol.ramp_s * volume_bytes / rate)
    return protocol.launch_s + max(0.0, fill_s - own_s)


def _tiers(placement: Sequence[int], cluster: Cluster) -> tuple[Tier, ...]:
    """Return the tiers of neighbours that a library knows something of, the inner one first."""
    known: dict[tuple[bool, tuple[int, ...]], Tier] = {}
    devices = sorted(placement)  # whoever is which rank
    for src, dst in pairwise((*devices, devices[0])):
        leaves = node_of(src, cluster.routing) != node_of(dst, cluster.routing)
        route = cluster.route(src, dst)
        law = leaves, tuple(map(id, route.links))
        if law not in known:
            known[law] = Tier.of(route)
    found = []
    for leaves in (False, True):
        own = [tier for (side, _), tier in known.items() if side == leaves and tier.protocols]
        if own:
            found.append(min(own, key=lambda tier: tier.bytes_per_s))
    return tuple(found)


def _together(some: Sequence[Protocol]) -> Protocol:
    """Return links in a row as one: latencies add, the slowest and the longest fill count."""
    return replace(
        some[0],
        launch_s=sum(p.launch_s for p in some),
        hop_s=sum(p.hop_s for p in some),
        rate_frac=min(p.rate_frac for p in some),
        ramp_s=max(p.ramp_s for p in some),
    )

"""How long the gradients of published runs take to exchange: by method, over the links of a system.

Libraries drive all wires of a device and all NICs of a node at once, by several rings, which the
algorithms of ``planner.collectives`` do not; so bytes over the rates of a tier are taken here, each
times what gradients of a training reach of it. Those shares are of a fit to published trainings
(convnets and BERT, 2017 to 2022): lower than what a benchmark of large messages reaches.
"""

from dataclasses import dataclass
from functools import cache
from math import log2

from hwprofiles.tiers import Tier, describe
from hwprofiles.units import GB, US
from planner.published.cases import Case

WIRES, SWITCH = 0.48, 0.77
"""Share reached of a device's wires: of PCIe or a mesh, which rings use unevenly; of NVSwitch."""
NETWORK = 0.64
"""Share reached of the NICs of a node."""
HOST_BYTES_PER_S = 56 * GB
"""What the devices of a node read from and write to servers on its host together."""
LAUNCH_S, HOP_S = 20 * US, 5 * US
"""Of an exchange, and of each step of its rings in a node and of its tree of nodes."""
SLOWER = 0.02
"""By which every doubling of the workers makes a step longer, for all wait for the slowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What ranks exchange over, bytes/s in one direction."""

    nodes: int
    each: int
    """Ranks of a node."""
    hops: int
    """Of a ring over them; on a torus one ring an axis after the other."""
    device: float
    """Of a device in its node."""
    node: float
    """Of all NICs of a node."""


def rates(case: Case) -> Rates:
    """Return the rates of the links that a run of several workers uses."""
    tiers = _tiers(case.system)
    told = case.system.partition(":")[2]
    nodes = int(told) if told.isdigit() else 1  # a slice of a pod is one
    inner, outer = tiers[0], tiers[-1]
    share = SWITCH if inner.builder == "nvswitch" else WIRES
    sides = [int(side) for side in told.split("x")] if "x" in told else [case.plan.workers // nodes]
    return Rates(
        nodes=nodes,
        each=case.plan.workers // nodes,
        hops=sum(side - 1 for side in sides),
        device=inner.device_bytes_per_s * share,
        node=outer.ports * outer.port_bytes_per_s * NETWORK,
    )


@cache
def _tiers(system: str) -> tuple[Tier, ...]:
    return describe(system).tiers


def exchange_s(case: Case, payload_bytes: float) -> float:
    """Return the time of one exchange of so many bytes of gradients, seconds."""
    at = rates(case)
    hops_s = LAUNCH_S + 2 * (at.hops + log2(at.nodes)) * HOP_S
    inside = (at.each - 1) / at.each
    outside = (at.nodes - 1) / at.nodes
    if case.plan.algorithm == "ring":
        whole = 2 * (case.plan.workers - 1) / case.plan.workers * payload_bytes
        return hops_s + max(whole / at.device if inside else 0.0, outside and whole / at.node)
    across_s = 2 * payload_bytes * outside / at.node
    if case.plan.algorithm == "star":  # servers on the hosts
        return hops_s + 2 * payload_bytes * at.each / HOST_BYTES_PER_S + across_s
    return hops_s + 2 * payload_bytes * inside / at.device + across_s

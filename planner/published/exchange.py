"""How long the gradients of published runs take to exchange: by method, over the links of a system.

Every method is one or several calls of a library, each by the law of its transport stacks
(:mod:`planner.transport_law`) with the constants that were fitted to published collectives: no
constant of an exchange is fitted to trainings. Libraries drive all wires of a device and all NICs
of a node at once, by several rings, which is what that law counts.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import accumulate
from math import prod

from hwprofiles.clusters import plan_cluster, split_spec
from hwprofiles.tiers import describe
from hwprofiles.transport import shipped, stack_of
from hwprofiles.units import GB, to_ps
from planner.cost import ExchangeTimes, exchange_times
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import UpdateTimes
from planner.plan import Bucket
from planner.policies.base import call_s
from planner.published.cases import Case
from planner.transport_groups import group_of, network_lane
from planner.transport_law import Group, Lane, Leg, Way

HOST_BYTES_PER_S = 56 * GB
"""What the devices of a node read from and write to servers on its host together."""
HOST_STACK = "pcie"
"""By which they reach it."""
SLOWER = 0.02
"""By which every doubling of the workers makes a step longer, for all wait for the slowest."""
KEPT = 1 << 16
"""Exchanges whose times are kept: those of a table are few, and fits ask for them many times."""


@lru_cache(maxsize=KEPT)
def exchange_s(
    system: str, workers: int, algorithm: str, payload_bytes: int, network: Lane | None = None
) -> float:
    """Return the time of one exchange of so many bytes of gradients, seconds.

    Of the algorithms ``ring`` is an all-reduce as a library runs it, the cheapest of
    its ways; ``hierarchical`` the three calls of nodes that reduce, exchange and gather;
    ``sharded_star`` servers on all devices, and ``star`` servers on the hosts: parts go to them
    and come back, and what a node's devices send is added up before it leaves the node.
    ``network`` takes the place of the system's own NICs.
    """
    base, shape = split_spec(system)
    if shape and "x" in shape:
        return _on_torus_s(system, payload_bytes)
    nodes = int(shape) if shape else 1
    each = workers // nodes
    if algorithm == "ring":
        return _call_s("all_reduce", payload_bytes, group_of(base, workers, nodes, network))
    across_s = 0.0
    if nodes > 1:
        outside = network or network_lane(base)
        between = Group(ranks=nodes, domains=nodes, inside=None, between=outside)
        is_ring = algorithm == "hierarchical"
        across_s = (
            _call_s("all_reduce", payload_bytes, between)
            if is_ring
            else 2 * _call_s("all_to_all", payload_bytes, between)
        )
    if algorithm == "star":
        return _through_host_s(payload_bytes, each) + across_s
    if each == 1:
        return across_s
    inside = group_of(base, each)
    if algorithm == "hierarchical":
        halves = ("reduce_scatter", "all_gather")
        return across_s + sum(_call_s(half, payload_bytes, inside) for half in halves)
    return across_s + 2 * _call_s("all_to_all", payload_bytes, inside)


def library_exchange(case: Case, cut: Sequence[Bucket], update_ps: UpdateTimes) -> ExchangeTimes:
    """Return the exchange of buckets whose calls follow each other on one stream of a library.

    Its additions are in the calls, so that the compute lane has none of them, and the rest of a
    bucket is all calls from its own on.
    """
    plan, item = case.plan, DTYPE_BYTES[case.training.dtype]

    def cost_ps(elements: int) -> int:
        if plan.workers == 1:
            return 0
        size = elements * item
        return to_ps(exchange_s(case.system, plan.workers, plan.algorithm, size, case.between))

    alone = exchange_times(cut, cost_ps, update_ps, None)
    left = list(accumulate(reversed(alone.cost_ps)))[::-1]
    return replace(alone, rest_ps=tuple(one + alone.update_ps[-1] for one in left))


def _call_s(operation: str, payload_bytes: float, group: Group) -> float:
    return call_s(operation, payload_bytes, group, shipped())


def _through_host_s(payload_bytes: float, each: int) -> float:
    """Return the time in which devices write gradients to the host and read parameters from it."""
    constants = shipped()
    once_s = constants[f"{HOST_STACK}.simple_launch"] + constants[f"{HOST_STACK}.simple_hop"]
    return 2 * (once_s + payload_bytes * each / HOST_BYTES_PER_S)


def _on_torus_s(system: str, payload_bytes: float) -> float:
    """Return the time of an all-reduce in which rings go one axis after the other, on all wires."""
    dims, stack, rate = _torus(system)
    ranks = prod(dims)
    way = Way(
        algorithm="ring",
        protocol="simple",
        latencies=(
            (f"{stack}.simple_launch", 1.0),
            (f"{stack}.simple_hop", 2.0 * sum(side - 1 for side in dims)),
        ),
        legs=(
            Leg(
                wire_s=2 * (ranks - 1) / ranks * payload_bytes / rate,
                shares=(f"{stack}.simple_share",),
            ),
        ),
        ramp=f"{stack}.ramp",
    )
    return way.time_s(shipped())


@cache
def _torus(system: str) -> tuple[tuple[int, ...], str, float]:
    """Return the sides of a slice, the stack of its links, and what a device sends over all."""
    inner = describe(system).tiers[0]
    stack = stack_of(inner.link)
    assert stack, inner.link
    return plan_cluster(system)[3].nodes[0].dims, stack, inner.device_bytes_per_s

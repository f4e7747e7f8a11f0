"""Collectives of a communication library on a cluster: time, interval and way, by size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwprofiles.clusters import plan_cluster, split_spec
from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup
from hwprofiles.transport import interval_of, shipped
from planner.collectives.base import busbw_factor
from planner.policies.base import call_s, policy
from planner.transport_groups import group_of, interval_kind
from planner.transport_law import OPERATIONS, Group, ways


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryCall:
    """One predicted call."""

    operation: str
    payload_bytes: int
    ranks: int
    stacks: tuple[str, ...]
    """From the inside."""
    algorithm: str
    protocol: str
    time_s: float
    interval_s: tuple[float, float]
    """80 %."""
    bus_bytes_per_s: float
    """What a rank's link carries at least; of a send and receive what is sent."""


def library_calls(
    operation: str, cluster: str, ranks: int | None, sizes: Sequence[int], policy_name: str
) -> list[LibraryCall]:
    """Return a collective on a cluster at several sizes.

    Raises
    ------
    PlanError
        An operation or policy that is unknown, or ranks that do not fill the nodes evenly.
    ProfileError
        An unknown cluster, or links that no transport stack is known for.
    """
    lookup("collective", operation, list(OPERATIONS), error=PlanError)
    group = _group(cluster, ranks)
    return list(_calls(operation, group, sizes, policy_name))


def _group(cluster: str, ranks: int | None) -> Group:
    plan = plan_cluster(cluster)[3]
    nodes, count = len(plan.nodes), ranks or len(plan.parts)
    if count % nodes or len({len(node.parts) for node in plan.nodes}) > 1:
        raise PlanError(
            f"ranks: expected a multiple of the {nodes} equal nodes of {cluster}, got {count}"
        )
    return group_of(split_spec(cluster)[0], count, nodes)


def _calls(
    operation: str, group: Group, sizes: Sequence[int], policy_name: str
) -> Iterator[LibraryCall]:
    chooser, constants = policy(policy_name), shipped()
    pairwise = operation == "send_receive"
    factor = 1.0 if pairwise else busbw_factor(operation, group.ranks)
    for size in sizes:
        time_s = call_s(operation, size, group, constants, name=policy_name)
        found = ways(operation, size, group)
        way = chooser.choose(found, size, operation, group, constants)
        yield LibraryCall(
            operation=operation,
            payload_bytes=size,
            ranks=group.ranks,
            stacks=group.stacks,
            algorithm=way.algorithm,
            protocol=way.protocol,
            time_s=time_s,
            interval_s=interval_of(time_s, interval_kind(group, size)),
            bus_bytes_per_s=size * factor / time_s,
        )

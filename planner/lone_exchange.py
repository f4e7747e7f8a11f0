"""One collective by itself on a cluster: the graph that the simulator is asked about."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hwprofiles.cluster import Cluster
from hwprofiles.units import to_ps
from planner.collectives.base import Span, Tasks, algorithm
from planner.opcall import DTYPE_BYTES
from sim.taskgraph import GraphBuilder, TaskGraph


def exchange_graph(
    name: str,
    elements: int,
    cluster: Cluster,
    ranks: int,
    add_ps: Callable[[int, int], int],
    dtype: str = "float32",
) -> TaskGraph:
    """Return one run of the algorithm ``name`` between the first ``ranks`` devices of ``cluster``.

    Every rank has a send lane, a receive lane and a compute lane (one for all where transfers hold
    the compute lane), and a landing register of one slot, as in a plan.
    """
    exchange = LoneExchange(
        ranks=ranks, elements=elements, cluster=cluster, add_ps=add_ps, dtype=dtype
    )
    algorithm(name).emit(exchange, [()] * ranks)
    return exchange.graph.build()


@dataclass(slots=True, kw_only=True)
class LoneExchange:
    """What an algorithm sees (``planner.collectives.base.Exchange``); rank i is device i."""

    ranks: int
    elements: int
    cluster: Cluster
    add_ps: Callable[[int, int], int]
    """``(rank, elements)`` to the time of an addition."""
    dtype: str
    graph: GraphBuilder = field(default_factory=GraphBuilder)
    lanes: dict[tuple[int, str], int] = field(default_factory=dict)
    landing: list[int] = field(default_factory=list)
    last_landing: dict[int, int] = field(default_factory=dict)
    last_add: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for link in self.cluster.links:
            self.graph.link(link.bandwidth_bytes_per_s)
        for rank in range(self.ranks):
            compute = self.graph.lane(rank)
            holds = self.cluster.devices[rank].transfers_hold_compute
            self.lanes[rank, "compute"] = compute
            self.lanes[rank, "send"] = compute if holds else self.graph.lane(rank)
            self.lanes[rank, "receive"] = compute if holds else self.graph.lane(rank)
            slot_bytes = self.elements * DTYPE_BYTES[self.dtype]
            self.landing.append(self.graph.register(rank, 1, slot_bytes))

    def send(self, src: int, dst: int, span: Span, *, after: Tasks, landing: bool) -> int:
        """Append a transfer; arrivals of one landing register keep their order."""
        deps = [*after, *([self.last_landing[dst]] if landing and dst in self.last_landing else [])]
        route = self.cluster.route(src, dst)
        payload = (span[1] - span[0]) * DTYPE_BYTES[self.dtype]
        task = self.graph.transfer(
            [self.lanes[src, "send"], self.lanes[dst, "receive"]],
            to_ps(route.overhead_s(payload)),
            payload_bytes=payload,
            route=self.graph.path(route.link_ids, route.flow_cap_bytes_per_s),
            after=deps,
            writes=[self.landing[dst]] if landing else (),
        )
        if landing:
            self.last_landing[dst] = task
        return task

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Append the addition of what has landed, in the order of arrival."""
        turn = [self.last_add[rank]] if rank in self.last_add else []
        task = self.graph.compute(
            [self.lanes[rank, "compute"]],
            self.add_ps(rank, span[1] - span[0]),
            after=[*after, *turn],
            reads=[(arrived, self.landing[rank])],
        )
        self.last_add[rank] = task
        return task

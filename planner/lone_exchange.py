"""One collective by itself on a cluster: the graph that the simulator is asked about.

At another size the same tasks move and add wider blocks, so a graph is built once and widened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.link import Route
from hwprofiles.units import to_ps
from planner.algorithms import algorithm
from planner.collectives.base import Span, Spans, Tasks, width_of
from planner.moves import Moves, block_edges, moves_of
from planner.opcall import DTYPE_BYTES
from planner.switching import SWITCH, Joined, carried, route_between
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph


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


@dataclass(frozen=True, kw_only=True)
class LoneExchanges:
    """Runs of one algorithm between the first ranks of a cluster, of any size."""

    name: str
    cluster: Cluster
    ranks: int
    add_ps: Callable[[int, int], int]
    """``(rank, elements)`` to the time of an addition."""
    dtype: str = "float32"

    @cached_property
    def _moves(self) -> Moves:
        return moves_of(algorithm(self.name).emit, self.ranks)

    @cached_property
    def _narrow(self) -> TaskGraph:
        asked = self.name, self._moves.blocks, self.cluster, self.ranks, self.add_ps, self.dtype
        return exchange_graph(*asked)

    def even(self, elements: int) -> int:
        """Return the least size from ``elements`` on that is cut into equal parts."""
        return -(-elements // self._moves.blocks) * self._moves.blocks

    def graph(self, elements: int) -> TaskGraph:
        """Return what ``exchange_graph`` does; many tasks in a twentieth of its time or less."""
        moves, narrow, item_bytes = self._moves, self._narrow, DTYPE_BYTES[self.dtype]
        edges = block_edges(moves.blocks, [elements])[:, 0]
        width = edges[moves.end] - edges[moves.first]
        kinds = np.stack([moves.pair_of, width])
        distinct, kind_of = np.unique(kinds, axis=1, return_inverse=True)
        duration_ps, payload_bytes = np.zeros_like(distinct)
        for place, (pair, wide) in enumerate(distinct.T.tolist()):
            src, dst = divmod(int(moves.pairs[pair]), self.ranks + 1)
            if src == dst:
                duration_ps[place] = self.add_ps(src, wide)
                continue
            ends = (SWITCH if rank == self.ranks else rank for rank in (src, dst))
            route = route_between(self.cluster, range(self.ranks), *ends)
            payload_bytes[place] = int(carried(route, wide * item_bytes))
            duration_ps[place] = to_ps(route.overhead_s(int(payload_bytes[place])))
        return replace(
            narrow,
            duration_ps=duration_ps[kind_of],
            payload_bytes=payload_bytes[kind_of],
            register_bytes=np.full_like(narrow.register_bytes, elements * item_bytes),
        )


@dataclass(slots=True, kw_only=True)
class Channel:
    """Lanes of a rank that take one transfer at a time, and where arrivals land."""

    send: int
    receive: int
    landing: int
    last: int | None = None
    """Last transfer that has landed."""


@dataclass(slots=True, kw_only=True)
class LoneExchange:
    """What an algorithm sees (``planner.collectives.base.Exchange``); rank i is device i.

    Ranks may be joined by switches that add (``planner.collectives.in_network``).
    """

    ranks: int
    elements: int
    cluster: Cluster
    add_ps: Callable[[int, int], int]
    """``(rank, elements)`` to the time of an addition."""
    dtype: str
    graph: GraphBuilder = field(default_factory=GraphBuilder)
    compute: list[int] = field(default_factory=list)
    """By rank: its lane."""
    channels: dict[tuple[int, int], Channel] = field(default_factory=dict)
    """By rank and channel, as they come into use."""
    channel_of: dict[int, Channel] = field(default_factory=dict)
    """By transfer that lands: that of its receiver."""
    last_add: dict[int, int] = field(default_factory=dict)
    fold: None = None

    def __post_init__(self) -> None:
        for link in self.cluster.links:
            self.graph.link(link.bandwidth_bytes_per_s)
        for rank in range(self.ranks):
            self.compute.append(self.graph.lane(rank))
            self.channel(rank, 0)

    def channel(self, rank: int, number: int) -> Channel:
        """Return the lanes and the landing register of a channel."""
        if (rank, number) not in self.channels:
            holds, compute = self.cluster.devices[rank].transfers_hold_compute, self.compute[rank]
            self.channels[rank, number] = Channel(
                send=compute if holds else self.graph.lane(rank),
                receive=compute if holds else self.graph.lane(rank),
                landing=self.graph.register(rank, 1, self.elements * DTYPE_BYTES[self.dtype]),
            )
        return self.channels[rank, number]

    def send(
        self,
        src: int,
        dst: int,
        span: Span,
        *,
        after: Tasks,
        landing: bool,
        channel: int = 0,
        more: Spans = (),
    ) -> int:
        """Append a transfer; arrivals of one landing register keep their order."""
        here, there = self.channel(src, channel), self.channel(dst, channel)
        turn = [there.last] if landing and there.last is not None else []
        task = self._transfer(
            [here.send, there.receive],
            self.cluster.route(src, dst),
            width_of(span, *more),
            after=[*after, *turn],
            writes=[there.landing] if landing else (),
        )
        if landing:
            there.last = task
            self.channel_of[task] = there
        return task

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Append a transfer to ``rank`` from all others, added where their routes meet."""
        route = route_between(self.cluster, range(self.ranks), SWITCH, rank)
        return self._transfer([self.channel(rank, 0).receive], route, width_of(span), after=after)

    def spread(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Append a transfer from ``rank`` to all, copied where their routes part."""
        route = route_between(self.cluster, range(self.ranks), rank, SWITCH)
        return self._transfer([self.channel(rank, 0).send], route, width_of(span), after=after)

    def _transfer(
        self,
        lanes: Sequence[int],
        route: Route | Joined,
        elements: int,
        *,
        after: Sequence[int],
        writes: Sequence[int] = (),
    ) -> int:
        """Append one flow."""
        payload = int(carried(route, elements * DTYPE_BYTES[self.dtype]))
        return self.graph.transfer(
            lanes,
            to_ps(route.overhead_s(payload)),
            payload_bytes=payload,
            route=self.graph.path(route.link_ids, route.flow_cap_bytes_per_s),
            after=after,
            writes=writes,
        )

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Append the addition of what has landed, in the order of arrival."""
        turn = [self.last_add[rank]] if rank in self.last_add else []
        task = self.graph.compute(
            [self.compute[rank]],
            self.add_ps(rank, span[1] - span[0]),
            after=[*after, *turn],
            reads=[(arrived, self.channel_of[arrived].landing)],
        )
        self.last_add[rank] = task
        return task

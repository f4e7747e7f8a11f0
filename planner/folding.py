"""One collective, folded: alike ranks emitted once, checked to be alike, and unfolded on demand.

The ranks that an algorithm treats alike (its ``symmetry``) are alike only as far as the fabric
treats them so: neighbours in a node are nearer than ranks of two nodes. So the fold with the fewest
ranks that stand for others is looked for which ``sim.fold.check_fold`` accepts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.errors import PlanError
from hwprofiles.units import Floats, Ints, to_ps
from planner.algorithms import algorithm, is_switched
from planner.collectives._symmetry import Symmetry
from planner.folded_exchange import FoldedExchange, Orbit, Seat, Way
from planner.opcall import DTYPE_BYTES
from sim.engine import simulate
from sim.fold import LinkClasses, Ways, check_fold, check_lanes
from sim.graphbuilder import Added, GraphBuilder
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline

SLOTS = 1
"""Of every landing register, as in ``planner.lone_exchange``."""


class Fabric(Protocol):
    """Ranks, and the routes between them."""

    link_bytes_per_s: Floats
    holds_compute: bool
    """Whether a transfer holds the compute lanes of both ends."""

    def ways(self, src: Ints, dst: Ints, payload_bytes: int, label: str) -> Ways:
        """Return the routes of many transfers of one size.

        Raises
        ------
        PlanError
            When they are not equally long.
        """
        ...


class ClusterFabric:
    """The first devices of a cluster, in their order."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.link_bytes_per_s: Floats = np.array(
            [link.bandwidth_bytes_per_s for link in cluster.links]
        )
        self.holds_compute = cluster.devices[0].transfers_hold_compute

    def ways(self, src: Ints, dst: Ints, payload_bytes: int, label: str) -> Ways:
        """Return the routes of the cluster."""
        routes = [
            self.cluster.route(*pair) for pair in zip(src.tolist(), dst.tolist(), strict=True)
        ]
        lengths = [len(route.link_ids) for route in routes]
        if min(lengths) < max(lengths):
            raise PlanError(
                f"fold: {label} crosses {lengths[0]} links, another that it is to stand for"
                f" {next(n for n in lengths if n != lengths[0])}; simulate it unfolded"
            )
        return Ways(
            label=label,
            links=np.array([route.link_ids for route in routes], dtype=np.int64),
            overhead_ps=np.array([to_ps(r.overhead_s(payload_bytes)) for r in routes]),
            cap_bytes_per_s=np.array([route.flow_cap_bytes_per_s for route in routes]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """A collective of which a few ranks stand for all."""

    name: str
    graph: TaskGraph
    exchange: FoldedExchange
    ways: dict[Way, Ways]
    add_ps: Callable[[int, int], int]
    link_bytes_per_s: Floats = field(repr=False)
    """Of the whole fabric."""

    @property
    def symmetry(self) -> Symmetry:
        """What turns those ranks into all others."""
        return self.exchange.fold

    def times(self) -> Timeline:
        """Return when the members of each orbit start and end.

        Raises
        ------
        PlanError
            When several ranks stand for all, and who is next on a lane is not settled by them.
        """
        timeline = simulate(self.graph)
        if len(self.symmetry.ranks()) > 1:
            check_lanes(self.graph, timeline)
        return timeline

    def unfold(self) -> TaskGraph:
        """Return the graph of all ranks; member ``g`` of orbit ``t`` is task ``t * order + g``."""
        return _Unfolding(self).graph.build()


def fold_exchange(
    name: str,
    elements: int,
    fabric: Fabric,
    ranks: int,
    add_ps: Callable[[int, int], int],
    dtype: str = "float32",
) -> Folded:
    """Return one run of an algorithm between the first ``ranks`` ranks of a fabric, folded.

    Raises
    ------
    PlanError
        When no rank can stand for another; why the fewest cannot stand for all.
    """
    symmetry, refused = symmetry_of(name, ranks, elements, fabric), None
    for kept in symmetry.choices():
        exchange = FoldedExchange(
            ranks=ranks,
            elements=elements,
            fold=replace(symmetry, kept=kept),
            item_bytes=DTYPE_BYTES[dtype],
        )
        algorithm(name).emit(exchange, _nobody(exchange.fold))
        try:
            ways = ways_of(exchange, fabric)
            _check_adders(exchange, add_ps)
            classes = check_fold(list(ways.values()), fabric.link_bytes_per_s)
        except PlanError as error:
            refused = refused or error
            continue
        return Folded(
            name=name,
            graph=_written(exchange, ways, classes, add_ps),
            exchange=exchange,
            ways=ways,
            add_ps=add_ps,
            link_bytes_per_s=fabric.link_bytes_per_s,
        )
    raise refused or PlanError(f"fold: algorithm {name!r} on {ranks} ranks leaves none to fold")


def symmetry_of(name: str, ranks: int, elements: int, fabric: Fabric) -> Symmetry:
    """Return what turns one rank into another, by the algorithm alone.

    Raises
    ------
    PlanError
        When its ranks are not alike, or no two of them could be here.
    """
    found = getattr(algorithm(name), "symmetry", None)
    if found is None and is_switched(name):
        raise PlanError(
            f"fold: a flow of algorithm {name!r} crosses the links of all ranks at once; simulate"
            " it unfolded"
        )
    if found is None:
        raise PlanError(
            f"fold: the ranks of algorithm {name!r} do not all do alike (one is a root or a"
            " server); simulate it unfolded"
        )
    if fabric.holds_compute:
        raise PlanError(
            "fold: a transfer holds the compute lanes of both ends, so a lane takes two members of"
            " one orbit; simulate it unfolded"
        )
    symmetry: Symmetry = found(ranks)
    if elements % symmetry.block_count:
        raise PlanError(
            f"fold: expected a multiple of {symmetry.block_count} elements, which cuts into equal"
            f" parts, got {elements}; give another size, or simulate it unfolded"
        )
    return symmetry


def ways_of(exchange: FoldedExchange, fabric: Fabric) -> dict[Way, Ways]:
    """Return the routes of all members, by way.

    Raises
    ------
    PlanError
        When the routes of one way are not equally long.
    """
    fold, found = exchange.fold, {}
    for orbit in exchange.orbits:
        if orbit.arrived < 0 and (way := exchange.way(orbit)) not in found:
            src, dst, payload = way
            label = f"the transfer from rank {src} to {dst}"
            found[way] = fabric.ways(fold.members(src), fold.members(dst), payload, label)
    return found


def folded_routes(
    graph: GraphBuilder, ways: dict[Way, Ways], classes: LinkClasses
) -> dict[Way, tuple[int, int]]:
    """Add the folded links to a graph; return overhead and route by way."""
    links = [graph.link(bandwidth) for bandwidth in classes.bytes_per_s.tolist()]
    found = {}
    for (way, routes), crossed in zip(ways.items(), classes.routes, strict=True):
        path = graph.path([links[c] for c in crossed], float(routes.cap_bytes_per_s[0]))
        found[way] = int(routes.overhead_ps[0]), path
    return found


def _nobody(fold: Symmetry) -> dict[int, tuple[int, ...]]:
    """Return, by rank that stands for others, that it waits for nothing."""
    return dict.fromkeys(fold.ranks(), ())


def _check_adders(exchange: FoldedExchange, add_ps: Callable[[int, int], int]) -> None:
    """Check that all members add as fast as those that stand for them."""
    fold = exchange.fold
    sums = {(fold.home(o.dst)[0], o.elements) for o in exchange.orbits if o.arrived >= 0}
    for home, elements in sorted(sums):
        for rank in fold.members(home).tolist():
            if add_ps(rank, elements) != add_ps(home, elements):
                raise PlanError(
                    f"fold: rank {rank} does not add as fast as rank {home}, which is to stand for"
                    " it; simulate it unfolded"
                )


def _written(
    exchange: FoldedExchange,
    ways: dict[Way, Ways],
    classes: LinkClasses,
    add_ps: Callable[[int, int], int],
) -> TaskGraph:
    """Return the folded graph."""
    graph = GraphBuilder()
    compute = {rank: graph.lane(rank) for rank in exchange.fold.ranks()}
    seats: dict[tuple[int, int], Seat] = {}
    slot_bytes = exchange.elements * exchange.item_bytes

    def seat(rank: int, channel: int) -> Seat:
        if (rank, channel) not in seats:
            seats[rank, channel] = Seat(
                send=graph.lane(rank),
                receive=graph.lane(rank),
                landing=graph.register(rank, SLOTS, slot_bytes),
            )
        return seats[rank, channel]

    routes = folded_routes(graph, ways, classes)
    exchange.write(graph, seat, compute.__getitem__, routes.__getitem__, add_ps)
    return graph.build()


class _Unfolding:
    """All members of every orbit, written an orbit at a time."""

    def __init__(self, folded: Folded) -> None:
        exchange = folded.exchange
        self.fold, self.exchange, self.folded = exchange.fold, exchange, folded
        self.graph = GraphBuilder()
        self.ids = np.arange(self.fold.order)
        for bandwidth in folded.link_bytes_per_s.tolist():
            self.graph.link(bandwidth)
        ranks = range(exchange.ranks)
        self.compute = np.array([self.graph.lane(rank) for rank in ranks])
        self.channels = 1 + max(
            int(self.fold.channel_members(orbit.channel).max()) for orbit in exchange.orbits
        )
        self.send, self.receive, self.landing = self._seats()
        self.routes: dict[Way, Ints] = {}
        self.added: list[Added] = []
        for orbit in exchange.orbits:
            self.added.append(self._add(orbit) if orbit.arrived >= 0 else self._transfer(orbit))

    def _seats(self) -> Ints:
        """Return lanes out and in, and landing registers, each by channel and rank."""
        slot_bytes, graph = self.exchange.elements * self.exchange.item_bytes, self.graph
        rows = [
            (graph.lane(rank), graph.lane(rank), graph.register(rank, SLOTS, slot_bytes))
            for _ in range(self.channels)
            for rank in range(self.exchange.ranks)
        ]
        return np.array(rows, dtype=np.int64).T.reshape(3, self.channels, -1)

    def _after(self, orbit: Orbit) -> Ints:
        """Return what each member waits for, (order, waits)."""
        order = self.fold.order
        waits = [t // order * order + self.fold.places(t % order) for t in orbit.after]
        return np.stack(waits, axis=1) if waits else np.zeros((order, 0), dtype=np.int64)

    def _transfer(self, orbit: Orbit) -> Added:
        way, src, dst = self.exchange.way(orbit), *map(self.fold.members, (orbit.src, orbit.dst))
        routes = self.folded.ways[way]
        if way not in self.routes:
            cap = float(routes.cap_bytes_per_s[0])
            self.routes[way] = self.graph.paths(routes.links, cap)
        # a way begins at the rank that stands for others, this orbit at one of its members
        begins = self.fold.places(self.fold.place_of(orbit.src))
        channel = self.fold.channel_members(orbit.channel)
        return self.graph.transfers(
            np.stack([self.send[channel, src], self.receive[channel, dst]], axis=1),
            int(routes.overhead_ps[0]),
            payload_bytes=way[2],
            route=self.routes[way][begins],
            after=self._after(orbit),
            writes=self.landing[channel, dst] if orbit.lands else None,
        )

    def _add(self, orbit: Orbit) -> Added:
        rank = self.fold.members(orbit.dst)
        home = self.fold.home(orbit.dst)[0]
        return self.graph.computes(
            self.compute[rank],
            self.folded.add_ps(home, orbit.elements),
            after=self._after(orbit),
            reads=self.added[orbit.arrived].items,
        )

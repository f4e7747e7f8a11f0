"""One data-parallel step of many alike workers, folded: one worker stands for all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from hwprofiles.units import Floats, Ints, to_ps
from planner.algorithms import Algorithm, algorithm, name_at
from planner.awaited import TaskSets
from planner.bucket_update import append_updates
from planner.collectives.base import Tasks
from planner.folded_exchange import FoldedExchange, Seat, Way
from planner.folding import Fabric, folded_routes, symmetry_of, ways_of
from planner.layout import worker_layout
from planner.library_cost import library_prices
from planner.lowering import Lowering
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.pass_blocks import append_passes
from planner.plan import Plan, Training, buckets
from planner.registers import Register, landing_name
from sim.fold import Ways, check_fold
from sim.taskgraph import TaskGraph


class Ports:
    """Ranks at one switch that never blocks: link 2 r leads from rank r, link 2 r + 1 to it."""

    def __init__(self, cluster: Cluster, ranks: int) -> None:
        self.route = cluster.route(0, 1)
        self.holds_compute = cluster.devices[0].transfers_hold_compute
        rates = [self.route.links[end].bandwidth_bytes_per_s for end in (0, -1)]
        self.link_bytes_per_s: Floats = np.tile(np.array(rates), ranks)

    def ways(self, src: Ints, dst: Ints, payload_bytes: int, label: str) -> Ways:
        """Return the routes, all as that of the first pair."""
        overhead_ps = to_ps(self.route.overhead_s(payload_bytes))
        return Ways(
            label=label,
            links=np.stack([2 * src, 2 * dst + 1], axis=1),
            overhead_ps=np.full(len(src), overhead_ps),
            cap_bytes_per_s=np.full(len(src), self.route.flow_cap_bytes_per_s),
        )


def fold_step(
    model: ModelGraph, training: Training, plan: Plan, fabric: Fabric, cluster: Cluster
) -> TaskGraph:
    """Return the task graph of one step of one worker, which stands for all of ``plan``.

    Parameters
    ----------
    fabric : Fabric
        Of all workers, in the order of ranks.
    cluster : Cluster
        Of which device 0 is what all workers run on.

    Raises
    ------
    PlanError
        When one worker cannot stand for all.

    Notes
    -----
    ASSUMES: a bucket is padded to whole blocks of its algorithm, as libraries do, so that ranks
    exchange equal parts.
    """
    books = {device.name: CostBook(device=device, ops={}) for device in cluster.devices}
    lone = replace(plan, workers=1, placement=(0,), algorithm="none")
    own = replace(training, batch=training.batch // plan.workers)
    work = Lowering(model=model, training=own, plan=lone, cluster=cluster, books=books)
    work.buckets = buckets(model, max(1, plan.bucket_bytes // DTYPE_BYTES[training.dtype]))
    (passes,) = append_passes(work)
    devices = range(len(cluster.devices))
    library_ps = library_prices(devices, cluster, training.dtype, plan.workers)
    fold = _Fold(work, plan, fabric, library_ps)
    after = fold.landing_after(training)

    def exchanged() -> Iterator[tuple[tuple[int], TaskSets]]:
        for number, bucket in enumerate(work.buckets):
            layers = bucket.layers if plan.overlap else tuple(work.offsets)
            ready = passes.gradients_of(layers)
            yield (number,), TaskSets.of([fold.exchange(number, ready, after[number])])

    append_updates(work, exchanged(), [passes])
    return work.graph.build()


@dataclass(slots=True)
class _Fold:
    """The exchanges of a step, on the links that its buckets share."""

    work: Lowering
    plan: Plan
    fabric: Fabric
    library_ps: Callable[[str, int], int]
    """Algorithm and elements to what a library pays once."""
    routes: dict[Way, tuple[int, int]] = field(default_factory=dict)
    landed: dict[int, int] = field(default_factory=dict)
    """By bucket: the last addition of what landed there."""

    def landing_after(self, training: Training) -> tuple[tuple[int, ...], ...]:
        """Return by bucket the earlier ones on whose bytes it lands."""
        landing = []
        for number in range(len(self.work.buckets)):
            exchange = self._exchange(number)
            self._algorithm(number).emit(exchange, {0: ()})
            landing += [
                Register(
                    name=landing_name(number, channel),
                    category="landing",
                    slots=self.plan.landing_slots,
                    slot_bytes=slot_bytes,
                )
                for channel, slot_bytes in _landing_bytes(exchange).items()
            ]
        work = self.work
        return worker_layout(work.model, training, self.plan, landing, work.calls).landing_after

    def exchange(self, number: int, ready: Tasks, after: Sequence[int]) -> Tasks:
        """Append the exchange of one bucket; return the worker's last tasks.

        What lands first waits for ``ready``, and for the buckets ``after`` that landed there.
        """
        work, exchange = self.work, self._exchange(number, first=self.work.graph.tasks)
        fold = exchange.fold
        begun = tuple(map(fold.token, ready))
        earlier = tuple(fold.token(self.landed[bucket]) for bucket in after)
        exchange.ready = {0: (*begun, *earlier)}
        (done,) = self._algorithm(number).emit(exchange, {0: begun})
        self._check(exchange)
        seats = {
            channel: Seat(
                send=work.lane(0, "send", channel),
                receive=work.lane(0, "receive", channel),
                landing=work.graph.register(0, self.plan.landing_slots, slot_bytes),
            )
            for channel, slot_bytes in _landing_bytes(exchange).items()
        }
        exchange.write(
            work.graph,
            lambda rank, channel: seats[channel],
            lambda rank: work.lanes[0, "compute"],
            self.routes.__getitem__,
            lambda rank, n: work.price_ps(0, work.calls.add(n)),
        )
        self.landed[number] = exchange.last_add[0] // fold.order
        return tuple(sorted({token // fold.order for token in done}))

    def _algorithm(self, number: int) -> Algorithm:
        elements = self.work.buckets[number].elements
        return algorithm(name_at(self.plan.algorithm, elements))

    def _exchange(self, number: int, first: int = 0) -> FoldedExchange:
        """Return the exchange of one bucket, padded to whole blocks, with nothing in it yet."""
        plan, bucket = self.plan, self.work.buckets[number]
        name = name_at(plan.algorithm, bucket.elements)
        blocks = symmetry_of(name, plan.workers, 0, self.fabric).block_count
        elements = -(-bucket.elements // blocks) * blocks
        return FoldedExchange(
            ranks=plan.workers,
            elements=elements,
            fold=symmetry_of(name, plan.workers, elements, self.fabric),
            item_bytes=DTYPE_BYTES[self.work.training.dtype],
            first=first,
            paid_ps=self.library_ps(name, elements),
        )

    def _check(self, exchange: FoldedExchange) -> None:
        """Check the ways that no bucket before has taken; all have the pairs of the first."""
        ways = ways_of(exchange, self.fabric)
        if any(way not in self.routes for way in ways):
            classes = check_fold(list(ways.values()), self.fabric.link_bytes_per_s)
            self.routes |= self._shared(ways, folded_routes(self.work.graph, ways, classes))

    def _shared(
        self, ways: dict[Way, Ways], fresh: dict[Way, tuple[int, int]]
    ) -> dict[Way, tuple[int, int]]:
        """Return the routes of new ways, over the links that their pair has already."""
        known = {way[:2]: route for way, (_, route) in self.routes.items()}
        return {
            way: (overhead_ps, known.get(way[:2], route))
            for way, (overhead_ps, route) in fresh.items()
            if way not in self.routes
        }


def _landing_bytes(exchange: FoldedExchange) -> dict[int, int]:
    """Return by channel the bytes of the widest arrival, all of which are added."""
    found: dict[int, int] = {}
    for orbit in exchange.orbits:
        if orbit.lands:
            size_bytes = orbit.elements * exchange.item_bytes
            found[orbit.channel] = max(size_bytes, found.get(orbit.channel, 0))
    return found

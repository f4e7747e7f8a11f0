"""What the pieces of a step take, each worked out once: passes, transfers, additions, updates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from planner.calls import StepCalls
from planner.collectives.base import Prices
from planner.exchange_work import lone_ps
from planner.library_cost import library_prices
from planner.lowering import op_ps
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, OpCall
from planner.plan import Plan
from planner.precision import scales_loss
from planner.rounds import PassTimes
from planner.switching import SWITCH, carried, route_between


def pass_times(model: ModelGraph, calls: StepCalls, book: CostBook) -> PassTimes:
    """Price every op of one microbatch on the device of ``book``; equal layers share a price."""
    known: dict[int, int] = {}

    def price_ps(call: OpCall) -> int:
        if id(call) not in known:
            known[id(call)] = op_ps(book, call)
        return known[id(call)]

    @cache
    def add_ps(elements: int) -> int:
        return op_ps(book, calls.add(elements))

    fired, added = [], []
    for firing in model.passes:
        elements = model.layers[firing.layer].parameter_count
        adds = firing.kind == "accumulate"
        fired.append(0 if adds else price_ps(firing.call(calls, elements)))
        added.append(add_ps(elements) if adds else 0)
    return PassTimes(
        load_ps=op_ps(book, calls.load),
        until_ps=np.cumsum(fired),
        added_ps=np.cumsum(added),
        input_place=model.input_place,
    )


def transfer_prices(
    placement: tuple[int, ...], cluster: Cluster, dtype: str
) -> Callable[[int, int, int], int]:
    """Return ``(src rank, dst rank, elements)`` to picoseconds, each worked out once."""
    item = DTYPE_BYTES[dtype]

    law_ps: dict[tuple[object, int], int] = {}

    @cache
    def transfer_ps(src: int, dst: int, elements: int) -> int:
        route = cluster.route(placement[src], placement[dst])
        law = (tuple(map(id, route.links)), elements)
        if law not in law_ps:
            law_ps[law] = lone_ps(route, float(elements * item))[0]
        return law_ps[law]

    return transfer_ps


def switched_prices(placement: Sequence[int], cluster: Cluster, dtype: str) -> Callable[[int], int]:
    """Return elements to the time of a lone flow through the switch between some devices."""
    item = DTYPE_BYTES[dtype]

    @cache
    def switched_ps(elements: int) -> int:
        route = route_between(cluster, placement, SWITCH, 0)
        return int(lone_ps(route, carried(route, np.array([elements * item])) * 1.0)[0][0])

    return switched_ps


def exchange_prices(
    plan: Plan,
    calls: StepCalls,
    transfer_ps: Callable[[int, int, int], int],
    cluster: Cluster,
    books: Mapping[str, CostBook],
) -> Prices:
    """Return the prices of transfers and additions between the ranks of ``plan``."""
    devices = [cluster.devices[d] for d in plan.placement]

    @cache
    def on_device(name: str, elements: int) -> int:
        return op_ps(books[name], calls.add(elements))

    return Prices(
        ranks=plan.workers,
        transfer_ps=transfer_ps,
        library_ps=library_prices(plan.placement, cluster, calls.training.dtype),
        add_ps=lambda rank, elements: on_device(devices[rank].name, elements),
        holds_compute=any(d.transfers_hold_compute for d in devices),
        landing_slots=plan.landing_slots,
    )


@dataclass(frozen=True, slots=True)
class UpdateTimes:
    """Elements to the time of their update on the quickest device, each worked out once."""

    calls: StepCalls
    books: Sequence[CostBook]
    known: dict[int, int] = field(default_factory=dict)

    def __call__(self, elements: int) -> int:
        """Return the time of one update."""
        if elements not in self.known:
            self.known[elements] = self._quickest_ps(self.calls.update(elements))
        return self.known[elements]

    def _quickest_ps(self, call: OpCall) -> int:
        return min(op_ps(book, call) for book in self.books)

    def of_buckets(self, elements: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Return what follows the exchange of each bucket, and what all of it takes."""
        each = tuple(map(self, elements))
        if not scales_loss(self.calls.training.dtype):
            return each, sum(each)
        judged = self._quickest_ps(self.calls.judge(sum(elements))) + sum(each)
        return (judged,) * len(each), judged

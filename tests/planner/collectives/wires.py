"""An exchange between workers that are joined pairwise, for the tests of collective algorithms."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import permutations
from random import Random

import pytest
from hypothesis import strategies as st

from hwprofiles.registry import names
from hwprofiles.units import to_ps
from planner.algorithms import algorithm, algorithm_names
from planner.collectives.base import Prices, width_of
from sim import heap_engine, simpy_engine
from sim.graphbuilder import GraphBuilder

ITEM_BYTES = 4
every_algorithm = pytest.mark.parametrize(
    "name", [name for name in names("planner.collectives") if name != "in_network"]
)
"""All that send from rank to rank."""
every_all_reduce = pytest.mark.parametrize("name", algorithm_names())


@dataclass(frozen=True, kw_only=True)
class Law:
    """What a transfer between two ranks and an addition take."""

    overhead_ps: dict[tuple[int, int], int] | int = 1000
    bandwidth: float = 1e9
    add_ps_per_element: int = 300
    slower_ranks: int = 0
    item_bytes: int = ITEM_BYTES
    holds: bool = False
    landing_slots: int = 1

    def overhead(self, src: int, dst: int) -> int:
        return self.overhead_ps if isinstance(self.overhead_ps, int) else self.overhead_ps[src, dst]

    def transfer_ps(self, src: int, dst: int, elements: int) -> int:
        payload = elements * self.item_bytes
        return self.overhead(src, dst) + (to_ps(payload / self.bandwidth) if payload else 0)

    def add_ps(self, rank: int, elements: int) -> int:
        return (1 + rank * self.slower_ranks) * elements * self.add_ps_per_element

    def prices(self, ranks: int) -> Prices:
        return Prices(
            ranks=ranks,
            transfer_ps=self.transfer_ps,
            add_ps=self.add_ps,
            holds_compute=self.holds,
            landing_slots=self.landing_slots,
        )


@dataclass(kw_only=True)
class Wires:
    """An exchange between workers joined pairwise; it notes what it is asked to do, by rank."""

    ranks: int
    elements: int
    law: Law = Law()
    group: tuple[int, ...] = ()
    """Worker of each rank; in their order if empty."""
    sends: dict[int, tuple[int, int, tuple[tuple[int, int], ...], bool]] = field(
        default_factory=dict
    )
    """By task: source, destination, spans, and whether it lands."""
    adds: dict[int, tuple[int, tuple[int, int], int]] = field(default_factory=dict)
    last_landing: dict[tuple[int, int], int] = field(default_factory=dict)
    builder: GraphBuilder = field(default_factory=GraphBuilder)
    channel_of: dict[int, int] = field(default_factory=dict)
    fold: None = None

    def __post_init__(self) -> None:
        self.group = self.group or tuple(range(self.ranks))
        n, new = range(max(self.group) + 1), self.builder
        self.compute = [new.lane(rank) for rank in n]
        self.out: dict[tuple[int, int], int] = {}
        self.into: dict[tuple[int, int], int] = {}
        self.landing: dict[tuple[int, int], int] = {}
        self.route = {p: new.path([new.link(self.law.bandwidth)]) for p in permutations(n, 2)}
        for worker in n:
            self.open(0, worker)

    def send(self, src, dst, span, *, after, landing, channel=0, more=()):
        here, there = self.group[src], self.group[dst]
        self.open(channel, here), self.open(channel, there)
        before = self.last_landing.get((channel, dst)) if landing else None
        task = self.builder.transfer(
            [self.out[channel, here], self.into[channel, there]],
            self.law.overhead(here, there),
            payload_bytes=width_of(span, *more) * self.law.item_bytes,
            route=self.route[here, there],
            after=[*after, *([before] if before is not None else [])],
            writes=[self.landing[channel, there]] if landing else [],
        )
        self.sends[task] = (src, dst, (span, *more), landing)
        self.channel_of[task] = channel
        if landing:
            self.last_landing[channel, dst] = task
        return task

    def open(self, channel: int, worker: int) -> None:
        """Give a worker lanes and a landing register for a channel."""
        for lanes in (self.out, self.into):
            if (channel, worker) not in lanes:
                own = self.compute[worker] if self.law.holds else self.builder.lane(worker)
                lanes[channel, worker] = own
        if (channel, worker) not in self.landing:
            slots = self.builder.register(worker, self.law.landing_slots, 64)
            self.landing[channel, worker] = slots

    def add(self, rank, span, arrived, *, after):
        worker = self.group[rank]
        task = self.builder.compute(
            [self.compute[worker]],
            self.law.add_ps(worker, span[1] - span[0]),
            after=after,
            reads=[(arrived, self.landing[self.channel_of[arrived], worker])],
        )
        self.adds[task] = (rank, span, arrived)
        return task

    def parties(self, task: int) -> tuple[int, ...]:
        """Ranks that run the task."""
        return self.sends[task][:2] if task in self.sends else self.adds[task][:1]


def exchanged(name: str, ranks: int, elements: int, law: Law, kind=Wires, group=()):
    """Emit one exchange; return it, and by rank the tasks after which its copy is final."""
    wires = kind(ranks=ranks, elements=elements, law=law, group=group)
    return wires, algorithm(name).emit(wires, [()] * ranks)


def even_elements(ranks: int, chunk: int) -> int:
    """An array that every algorithm cuts into equal parts."""
    return chunk * ranks * ranks * (4 if ranks > 2 else 1)


def simulated_ps(wires: Wires) -> int:
    graph = wires.builder.build()
    one, other = heap_engine.simulate(graph), simpy_engine.simulate(graph)
    assert one.makespan_ps == other.makespan_ps
    return one.makespan_ps


@dataclass(kw_only=True)
class InTurn(Wires):
    """Wires on which a rank adds in the order in which it is told to, as in every plan."""

    last_add: dict[int, int] = field(default_factory=dict)

    def add(self, rank, span, arrived, *, after):
        before = [self.last_add[rank]] if rank in self.last_add else []
        self.last_add[rank] = super().add(rank, span, arrived, after=[*after, *before])
        return self.last_add[rank]


@dataclass(kw_only=True)
class Faulty(Wires):
    """Wires on which one send or addition goes wrong, or all do."""

    fault: str = ""
    at: int = 0
    every: bool = False
    count: int = 0

    def send(self, src, dst, span, *, after, landing, channel=0, more=()):
        is_it = self.count == self.at or self.every
        self.count += 1
        if is_it and self.fault == "wrong neighbour":
            dst = next(r for r in range(self.ranks) if r not in (src, dst))
        if is_it and self.fault == "dropped dependency":
            after = ()
        if is_it and self.fault == "wrong span":
            span, more = (span[0], (span[0] + span[1]) // 2), more[: len(more) // 2]
        if self.count > self.at and self.fault == "one step too few":
            return max(after, default=0)
        some = {"after": after, "landing": landing, "channel": channel, "more": more}
        return super().send(src, dst, span, **some)


def seeded(fault: str, at: int, **more: bool) -> Callable[..., Wires]:
    return lambda **kwargs: Faulty(fault=fault, at=at, **more, **kwargs)


@st.composite
def uneven_laws(draw: st.DrawFn, ranks: int = 6) -> Law:
    """Every pair of ranks has its own overhead; of more than six, by a drawn seed."""
    pairs = list(permutations(range(ranks), 2))
    if ranks > 6:
        values = Random(draw(st.integers(0, 1000))).choices(range(50_000), k=len(pairs))
    else:
        values = draw(st.lists(st.integers(0, 50_000), min_size=len(pairs), max_size=len(pairs)))
    overhead_ps = dict(zip(pairs, values, strict=True))
    return Law(
        overhead_ps=overhead_ps,
        add_ps_per_element=draw(st.sampled_from([0, 10, 3000])),
        slower_ranks=draw(st.integers(0, 1)),
        holds=draw(st.booleans()),
        landing_slots=draw(st.integers(1, 3)),
    )

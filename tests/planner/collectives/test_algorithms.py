"""Every all-reduce algorithm keeps its claims: time, sums, loads, steps, bytes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from hwprofiles.units import PS_PER_S, to_ps
from planner.collectives.base import Prices, algorithm, algorithm_names, chunk_spans, cost_s
from sim import heap_engine, simpy_engine
from sim.taskgraph import GraphBuilder
from tests.planner_cases import legal_order

ITEM_BYTES = 4
every_algorithm = pytest.mark.parametrize("name", algorithm_names())


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
    """An exchange between ranks that are joined pairwise; it notes what it is asked to do."""

    ranks: int
    elements: int
    law: Law = Law()
    sends: dict[int, tuple[int, int, tuple[int, int], bool]] = field(default_factory=dict)
    adds: dict[int, tuple[int, tuple[int, int], int]] = field(default_factory=dict)
    last_landing: dict[int, int] = field(default_factory=dict)
    builder: GraphBuilder = field(default_factory=GraphBuilder)

    def __post_init__(self) -> None:
        n, new = range(self.ranks), self.builder
        self.compute = [new.lane(rank) for rank in n]
        self.out = self.compute if self.law.holds else [new.lane(rank) for rank in n]
        self.into = self.compute if self.law.holds else [new.lane(rank) for rank in n]
        self.route = {p: new.path([new.link(self.law.bandwidth)]) for p in permutations(n, 2)}
        self.landing = [new.register(rank, self.law.landing_slots, 64) for rank in n]

    def send(self, src, dst, span, *, after, landing):
        first_in = landing and dst in self.last_landing
        task = self.builder.transfer(
            [self.out[src], self.into[dst]],
            self.law.overhead(src, dst),
            payload_bytes=(span[1] - span[0]) * self.law.item_bytes,
            route=self.route[src, dst],
            after=[*after, *([self.last_landing[dst]] if first_in else [])],
            writes=[self.landing[dst]] if landing else [],
        )
        self.sends[task] = (src, dst, span, landing)
        if landing:
            self.last_landing[dst] = task
        return task

    def add(self, rank, span, arrived, *, after):
        task = self.builder.compute(
            [self.compute[rank]],
            self.law.add_ps(rank, span[1] - span[0]),
            after=after,
            reads=[(arrived, self.landing[rank])],
        )
        self.adds[task] = (rank, span, arrived)
        return task


def exchanged(name: str, ranks: int, elements: int, law: Law, kind=Wires):
    """Emit one exchange; return it, and by rank the tasks after which its copy is final."""
    wires = kind(ranks=ranks, elements=elements, law=law)
    return wires, algorithm(name).emit(wires, [()] * ranks)


def simulated_ps(wires: Wires) -> int:
    graph = wires.builder.build()
    one, other = heap_engine.simulate(graph), simpy_engine.simulate(graph)
    assert one.makespan_ps == other.makespan_ps
    return one.makespan_ps


def equal_laws(holds: bool) -> st.SearchStrategy[Law]:
    return st.builds(
        Law,
        overhead_ps=st.sampled_from([0, 1, 777, 10**6]),
        bandwidth=st.sampled_from([1e9, 3e9, 0.7e12, 1e12 / 3]),
        add_ps_per_element=st.sampled_from([0, 1, 300, 3000, 10**5]),
        holds=st.just(holds),
        landing_slots=st.integers(1, 3),
    )


@st.composite
def uneven_laws(draw: st.DrawFn) -> Law:
    """Every pair of six ranks has its own overhead."""
    pairs = list(permutations(range(6), 2))
    values = draw(st.lists(st.integers(0, 50_000), min_size=len(pairs), max_size=len(pairs)))
    overhead_ps = dict(zip(pairs, values, strict=True))
    return Law(
        overhead_ps=overhead_ps,
        add_ps_per_element=draw(st.sampled_from([0, 10, 3000])),
        slower_ranks=draw(st.integers(0, 1)),
        holds=draw(st.booleans()),
        landing_slots=draw(st.integers(1, 3)),
    )


# Time


@every_algorithm
@given(ranks=st.integers(2, 6), chunk=st.integers(0, 20), law=equal_laws(holds=False))
@settings(max_examples=150, deadline=None)
def test_simulated_time_is_the_closed_form_on_lanes_of_their_own(name, ranks, chunk, law):
    """ASSUMES: equal chunks; unequal ones may wait for each other, as the next test allows."""
    elements = ranks * chunk
    wires, _ = exchanged(name, ranks, elements, law)
    assert simulated_ps(wires) == algorithm(name).cost_ps(elements, law.prices(ranks))


def test_unequal_chunks_of_a_ring_cost_less_than_one_element_a_step_more():
    law = Law(add_ps_per_element=3000)
    wires, _ = exchanged("ring", 3, 4, law)
    cost_ps, ring = algorithm("ring").cost_ps(4, law.prices(3)), simulated_ps(wires)
    assert cost_ps < ring < cost_ps + 4 * law.transfer_ps(0, 1, 1)


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(0, 60), law=uneven_laws())
@settings(max_examples=150, deadline=None)
def test_no_exchange_is_faster_than_its_closed_form(name, ranks, elements, law):
    wires, _ = exchanged(name, ranks, elements, law)
    assert simulated_ps(wires) >= algorithm(name).cost_ps(elements, law.prices(ranks))


@every_algorithm
@given(elements=st.integers(0, 60), law=equal_laws(holds=True))
@settings(max_examples=100, deadline=None)
def test_two_ranks_whose_transfers_hold_compute_take_the_closed_form(name, elements, law):
    wires, _ = exchanged(name, 2, elements, law)
    assert simulated_ps(wires) == algorithm(name).cost_ps(elements, law.prices(2))


@pytest.mark.parametrize(
    ("name", "expected_ps"),
    [
        # 3 ranks, 6 elements; 1000 ps and 4 ps an element to transfer, 300 ps an element to add
        ("ring", 4 * (1000 + 2 * 4) + 2 * 2 * 300),  # two elements a chunk
        ("star", 4 * (1000 + 6 * 4) + 2 * 6 * 300),
    ],
)
def test_the_closed_form_on_paper(name, expected_ps):
    prices = Law(bandwidth=1e12).prices(3)
    assert algorithm(name).cost_ps(6, prices) == expected_ps
    assert cost_s(name, 6, prices) == expected_ps / PS_PER_S


# Claims


@every_algorithm
@pytest.mark.parametrize("ranks", range(2, 7))
def test_steps_are_the_time_when_a_transfer_takes_one_and_all_else_nothing(name, ranks):
    law = Law(overhead_ps=1, item_bytes=0, add_ps_per_element=0, landing_slots=ranks)
    wires, _ = exchanged(name, ranks, 5 * ranks, law)
    assert simulated_ps(wires) == algorithm(name).steps(ranks)


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_bus_bandwidth_factor_is_the_elements_sent_a_rank_over_those_exchanged(
    name, ranks, elements
):
    """nccl-tests: busbw is what each rank's link carries, algbw what the caller sees."""
    wires, _ = exchanged(name, ranks, elements, Law())
    sent = sum(span[1] - span[0] for _, _, span, _ in wires.sends.values())
    assert sent / (ranks * elements) == algorithm(name).busbw_factor(ranks)


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(0, 60), law=uneven_laws())
@settings(max_examples=100, deadline=None)
def test_loads_are_what_the_tasks_of_each_rank_sum_to(name, ranks, elements, law):
    wires, _ = exchanged(name, ranks, elements, law)
    found = algorithm(name).loads(elements, law.prices(ranks))
    assert len(found) == ranks
    for rank, load in enumerate(found):
        moved = [(s, d, law.transfer_ps(s, d, b - a)) for s, d, (a, b), _ in wires.sends.values()]
        added = [law.add_ps(r, b - a) for r, (a, b), _ in wires.adds.values() if r == rank]
        assert load.send_ps == sum(ps for src, _, ps in moved if src == rank)
        assert load.receive_ps == sum(ps for _, dst, ps in moved if dst == rank)
        assert load.add_ps == sum(added)
        assert load.total_ps == load.send_ps + load.receive_ps + load.add_ps


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_landing_elements_hold_the_widest_arrival_and_no_more(name, ranks, elements):
    wires, _ = exchanged(name, ranks, elements, Law())
    landings = [(dst, b - a) for _, dst, (a, b), landed in wires.sends.values() if landed]
    widest = max(size for _, size in landings)
    for rank in range(ranks):
        lands = any(dst == rank for dst, _ in landings)
        assert algorithm(name).landing_elements(elements, ranks, rank) == (widest if lands else 0)


# Values


def check_values(wires: Wires, done: list[tuple[int, ...]], held: np.ndarray, seed: int):
    """Replay in a random legal order; return what each rank has when it is told that it is done.

    A rank that is done spoils its copy, as an update would: nobody may still need it.
    """
    held, final = held.copy(), np.full(held.shape, np.nan)
    landed: dict[int, np.ndarray] = {}
    left = [set(tasks) for tasks in done]
    graph = wires.builder.build()
    for task in legal_order(graph, seed):
        if task in wires.sends:
            src, dst, (a, b), landing = wires.sends[task]
            if landing:
                landed[task] = held[src, a:b].copy()
            else:
                held[dst, a:b] = held[src, a:b]
        else:
            rank, (a, b), arrived = wires.adds[task]
            held[rank, a:b] += landed.pop(arrived)
        for rank, tasks in enumerate(left):
            if tasks and not tasks - {task}:
                final[rank] = held[rank]
                held[rank] = 1e6
            tasks.discard(task)
    return final


def check_sums(name: str, ranks: int, elements: int, law: Law, seed: int, kind=Wires) -> None:
    held = np.random.default_rng(seed).integers(0, 1000, (ranks, elements)).astype(float)
    wires, done = exchanged(name, ranks, elements, law, kind)
    final = check_values(wires, done, held, seed)
    np.testing.assert_array_equal(final, np.tile(held.sum(axis=0), (ranks, 1)))


@every_algorithm
@given(
    ranks=st.integers(2, 6),
    elements=st.integers(0, 13),
    slots=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=250, deadline=None)
def test_every_rank_ends_with_the_sum_in_any_legal_order(name, ranks, elements, slots, seed):
    check_sums(name, ranks, elements, Law(landing_slots=slots), seed)


def check_bits(name: str, ranks: int, law: Law, seeds, kind=Wires) -> None:
    """Sums of numbers of very different size come out alike, whatever the order of tasks."""
    rng = np.random.default_rng(0)
    held = rng.standard_normal((ranks, 7)) * 10.0 ** rng.integers(-8, 8, (ranks, 7))
    wires, done = exchanged(name, ranks, 7, law, kind)
    finals = [check_values(wires, done, held, seed) for seed in seeds]
    for final in finals:
        np.testing.assert_array_equal(final, finals[0])
        np.testing.assert_array_equal(final, np.tile(final[0], (ranks, 1)))


@every_algorithm
@pytest.mark.parametrize("ranks", range(2, 7))
def test_floats_come_out_bit_equal_on_all_ranks_and_in_all_orders(name, ranks):
    check_bits(name, ranks, Law(landing_slots=3), range(20))


# The oracles above, shown to fail


@dataclass(kw_only=True)
class Faulty(Wires):
    """Wires on which one send or addition goes wrong."""

    fault: str = ""
    at: int = 0
    count: int = 0

    def send(self, src, dst, span, *, after, landing):
        is_it = self.count == self.at
        self.count += 1
        if is_it and self.fault == "wrong neighbour":
            dst = next(r for r in range(self.ranks) if r not in (src, dst))
        if is_it and self.fault == "dropped dependency":
            after = ()
        if is_it and self.fault == "wrong span":
            whole = span == (0, self.elements)
            span = (0, self.elements // 2) if whole else (0, self.elements)
        if self.count > self.at and self.fault == "one step too few":
            return max(after, default=0)
        return super().send(src, dst, span, after=after, landing=landing)


def seeded(fault: str, at: int) -> Callable[..., Wires]:
    return lambda **kwargs: Faulty(fault=fault, at=at, **kwargs)


def is_caught(name: str, fault: str, at: int, seeds: int = 60) -> bool:
    """Whether any of the legal orders shows the fault."""
    for seed in range(seeds):
        try:
            check_sums(name, 4, 8, Law(landing_slots=2), seed, seeded(fault, at))
        except (AssertionError, KeyError, ValueError, PlanError):
            return True
    return False


def last_step(name: str) -> int:
    """Return the first send of the last step of four ranks."""
    wires, _ = exchanged(name, 4, 8, Law())
    return len(wires.sends) - len(wires.sends) // algorithm(name).steps(4)


@every_algorithm
def test_no_fault_is_no_alarm(name):
    assert not is_caught(name, "", -1)


@every_algorithm
@pytest.mark.parametrize("fault", ["wrong neighbour", "wrong span"])
def test_the_sums_show_a_send_with_a(name, fault):
    wires, _ = exchanged(name, 4, 8, Law())
    assert all(is_caught(name, fault, at) for at in range(len(wires.sends)))


@every_algorithm
def test_the_sums_show_a_step_too_few(name):
    assert is_caught(name, "one step too few", last_step(name))


@every_algorithm
def test_the_sums_show_every_dropped_dependency_of_a_send(name):
    wires, _ = exchanged(name, 4, 8, Law(landing_slots=2))
    rows = [
        wires.builder.build().row("dep", task)
        for task in wires.sends  # a landing's only dependency may be the landing before it
    ]
    starts = [at for at, row in enumerate(rows) if not set(row) - set(wires.sends)]
    sends = list(wires.sends.values())
    waits = [at for at in range(len(sends)) if at not in starts or not sends[at][3]]
    assert len(waits) >= 3
    assert [at for at in waits if not is_caught(name, "dropped dependency", at)] == []


@every_algorithm
@pytest.mark.parametrize("fault", ["wrong span", "one step too few"])
def test_the_time_shows_a(name, fault):
    faulty, _ = exchanged(name, 4, 8, Law(), seeded(fault, last_step(name)))
    assert simulated_ps(faulty) != algorithm(name).cost_ps(8, Law().prices(4))


@dataclass(kw_only=True)
class Hasty(Wires):
    """Wires on which additions wait for nothing but their arrival."""

    def add(self, rank, span, arrived, *, after):
        return super().add(rank, span, arrived, after=())


def test_the_bits_show_additions_that_keep_no_order():
    check_bits("ring", 4, Law(landing_slots=3), range(20), Hasty)  # its chunks need no such order
    with pytest.raises(AssertionError):
        check_bits("star", 4, Law(landing_slots=3), range(20), Hasty)


# Chunks and names


@given(elements=st.integers(0, 1000), ranks=st.integers(1, 9))
def test_chunks_cover_all_elements_once_and_differ_by_one_at_most(elements, ranks):
    spans = chunk_spans(elements, ranks)
    assert len(spans) == ranks
    assert (spans[0][0], spans[-1][1]) == (0, elements)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    sizes = [b - a for a, b in spans]
    assert max(sizes) - min(sizes) <= 1


def test_an_unknown_algorithm_is_refused_with_the_known_ones():
    with pytest.raises(PlanError, match=r"collective algorithm 'rinq': unknown"):
        algorithm("rinq")

"""Every collective algorithm keeps its claims: time, loads, steps, bytes."""

import doctest
from dataclasses import replace
from itertools import pairwise, permutations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from hwprofiles.registry import names
from hwprofiles.units import PS_PER_S
from planner.algorithms import algorithm, algorithm_names, carried_frac, cost_s, fits
from planner.collectives import (
    _lanes,
    _levels,
    _rings,
    _trees,
    base,
    bruck_all_gather,
    bruck_all_to_all,
    double_binary_tree,
    halving_doubling,
    hierarchical_all_to_all,
    multi_ring,
)
from planner.collectives.base import Load, busbw_factor, chunk_spans, traffic, width_of
from tests.planner.collectives.wires import (
    InTurn,
    Law,
    Wires,
    even_elements,
    every_algorithm,
    exchanged,
    seeded,
    simulated_ps,
)

pytestmark = pytest.mark.slow


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


# Time

UNCONTENDED = (
    "broadcast",
    "gather",
    "halving_doubling",
    "hierarchical_halving",
    "reduce",
    "scatter",
    "star",
    "tree",
)
"""Algorithms in which nobody waits for a lane even if transfers hold the compute lane."""


BRUCK = ("bruck_all_gather", "bruck_all_to_all", "hierarchical_all_to_all")
PAIRED = ("sharded_star", "all_to_all", "torus", "hierarchical", *BRUCK)
"""Algorithms in which, besides, that is so for two and four ranks."""


def is_exact(name: str, ranks: int, law: Law) -> bool:
    """Whether the closed form claims the time, and not only a bound, where links are alike."""
    two, one_slot = ranks in (2, 4), law.landing_slots == 1
    if not law.holds:
        claims = {
            # its trees meet on a receive lane where n + 2 is 2^k
            "double_binary_tree": ranks + 2 not in (8, 16),
            # a folded rank's early partners may run ahead of a step
            "halving_doubling": two or ranks == 8 or one_slot,
            # so may nodes, and those that fold out gather meanwhile
            "hierarchical_halving": two or (ranks != 6 and one_slot),
        }
        return claims.get(name, True)
    even = ("ring", "reduce_scatter", "all_gather", "multi_ring")  # an odd one leaves a lane idle
    claims = dict.fromkeys(even, ranks % 2 == 0) | dict.fromkeys(PAIRED, two)
    return claims.get(name, name in UNCONTENDED or ranks == 2)


def timed(name: str) -> type[Wires]:
    """Wires on which its closed form holds: that of channels counts who adds first."""
    return InTurn if name.startswith("multi_ring") else Wires


def check_exact(name: str, ranks: int, elements: int, law: Law) -> None:
    wires, _ = exchanged(name, ranks, elements, law, timed(name))
    cost_ps = algorithm(name).cost_ps(elements, law.prices(ranks))
    found_ps = simulated_ps(wires)
    assert found_ps == cost_ps if is_exact(name, ranks, law) else found_ps >= cost_ps


@every_algorithm
@given(ranks=st.integers(2, 7), chunk=st.integers(0, 20), law=equal_laws(holds=False))
@settings(max_examples=60, deadline=None)
def test_simulated_time_is_the_closed_form_on_lanes_of_their_own(name, ranks, chunk, law):
    """ASSUMES: equal chunks; unequal ones may wait for each other, as a test below allows."""
    check_exact(name, ranks, even_elements(ranks, chunk), law)


@every_algorithm
@given(ranks=st.integers(2, 7), chunk=st.integers(0, 20), law=equal_laws(holds=True))
@settings(max_examples=60, deadline=None)
def test_simulated_time_is_the_closed_form_where_transfers_hold_compute(name, ranks, chunk, law):
    check_exact(name, ranks, even_elements(ranks, chunk), law)


@given(
    ranks=st.integers(2, 8), data=st.data(), chunk=st.integers(0, 9), law=equal_laws(holds=False)
)
@settings(max_examples=40, deadline=None)
def test_equal_chunks_of_any_number_of_channels_take_the_closed_form(ranks, data, chunk, law):
    """Their additions queue on one lane."""
    several = [count for count in range(1, 7) if fits(f"multi_ring:{count}", ranks)]
    count = data.draw(st.sampled_from(several))
    check_exact(f"multi_ring:{count}", ranks, ranks * count * chunk, law)


@given(ranks=st.integers(2, 6), data=st.data(), elements=st.integers(0, 60), law=uneven_laws())
@settings(max_examples=60, deadline=None)
def test_any_number_of_channels_is_no_faster_than_its_closed_form(ranks, data, elements, law):
    several = [count for count in range(1, 5) if fits(f"multi_ring:{count}", ranks)]
    name = f"multi_ring:{data.draw(st.sampled_from(several))}"
    wires, _ = exchanged(name, ranks, elements, law, InTurn)
    assert simulated_ps(wires) >= algorithm(name).cost_ps(elements, law.prices(ranks))


TURNED = ("2x1x2", "1x2x2", "2x3x2", "4x1x4", "2x2x4")
"""Channels, pieces, and the ranks of a node in which they turn."""


@pytest.mark.parametrize("numbers", TURNED)
@given(nodes=st.integers(2, 3), elements=st.integers(0, 200), law=uneven_laws(12))
@settings(max_examples=4, deadline=None)
def test_rings_turned_in_nodes_take_the_closed_form_whatever_parts_and_links(
    numbers, nodes, elements, law
):
    """In nodes of even size each pair of ranks is one hop of one channel: no link is shared."""
    name, ranks = f"multi_ring:{numbers}", nodes * int(numbers[-1])
    law = replace(law, holds=False)
    wires, _ = exchanged(name, ranks, elements, law, InTurn)
    cost_ps, found_ps = algorithm(name).cost_ps(elements, law.prices(ranks)), simulated_ps(wires)
    assert found_ps == cost_ps
    several = elements >= ranks * int(numbers[0]) and law.add_ps_per_element
    assert found_ps > algorithm(name).cost_ps(elements // 2, law.prices(ranks)) or not several


@given(
    ranks=st.integers(2, 5),
    data=st.data(),
    elements=st.integers(0, 90),
    law=equal_laws(holds=False),
)
@settings(max_examples=15, deadline=None)
def test_any_pieces_of_channels_take_the_closed_form(ranks, data, elements, law):
    several = [count for count in range(1, 5) if fits(f"multi_ring:{count}", ranks)]
    count, pieces = data.draw(st.sampled_from(several)), data.draw(st.integers(2, 4))
    name = f"multi_ring:{count}x{pieces}"
    wires, _ = exchanged(name, ranks, elements, law, InTurn)
    assert simulated_ps(wires) == algorithm(name).cost_ps(elements, law.prices(ranks))


@pytest.mark.parametrize("name", ["multi_ring:2", "multi_ring:4x1x8", "pipelined_ring:2"])
def test_on_many_ranks_the_closed_form_is_a_bound_that_is_near(name, monkeypatch):
    """From 65 ranks on it does not go through all steps; every eighth hop is a slow one."""
    pairs = permutations(range(72), 2)
    overhead_ps = {pair: 9000 if pair[0] // 8 != pair[1] // 8 else 1000 for pair in pairs}
    prices = Law(overhead_ps=overhead_ps, add_ps_per_element=20).prices(72)
    bounds_ps = [algorithm(name).cost_ps(72 * n, prices) for n in (64, 65)]
    monkeypatch.setattr(_rings, "ALL_UP_TO", 72)
    steps_ps = [algorithm(name).cost_ps(72 * n, prices) for n in (64, 65)]
    assert bounds_ps[0] > 0.97 * steps_ps[0]
    assert all(bound <= found for bound, found in zip(bounds_ps, steps_ps, strict=True))


def test_a_ring_over_nodes_costs_what_its_slow_hops_do():
    """Lanes of the hops between nodes are busy throughout; a lone chunk would be far sooner."""
    overhead_ps = {p: 9000 if p[0] // 4 != p[1] // 4 else 1000 for p in permutations(range(8), 2)}
    law = Law(overhead_ps=overhead_ps, add_ps_per_element=20)
    for name in ("ring", "reduce_scatter", "all_gather"):
        wires, _ = exchanged(name, 8, 8 * 16, law)
        cost_ps = algorithm(name).cost_ps(8 * 16, law.prices(8))
        assert 0.95 * simulated_ps(wires) <= cost_ps <= simulated_ps(wires)


@every_algorithm
@pytest.mark.parametrize("holds", [False, True])
def test_most_sizes_of_a_group_are_exact(name, holds):
    """The claim above is not empty: one landing slot, two to seven ranks."""
    least = dict[str, int]()
    if holds:
        one = ("double_binary_tree", "chain_broadcast", "pipelined_ring")
        least = dict.fromkeys(one, 1) | dict.fromkeys(PAIRED, 2)
    exact = [n for n in range(2, 8) if is_exact(name, n, Law(holds=holds))]
    assert len(exact) >= least.get(name, 3 if holds else 5)


@given(
    ranks=st.integers(2, 5),
    pieces=st.integers(1, 5),
    elements=st.integers(0, 90),
    law=equal_laws(holds=False),
)
@settings(max_examples=60, deadline=None)
def test_any_pieces_of_a_ring_take_the_closed_form(ranks, pieces, elements, law):
    """Equal or not: messages of a rank keep their order."""
    name = f"pipelined_ring:{pieces}"
    wires, _ = exchanged(name, ranks, elements, law)
    assert simulated_ps(wires) == algorithm(name).cost_ps(elements, law.prices(ranks))


def test_pieces_hide_the_additions_where_there_is_room_to_land():
    prices = Law(add_ps_per_element=4, landing_slots=2, bandwidth=1e12).prices(4)
    ring, pieces = (
        algorithm(name).cost_ps(1600000, prices) for name in ("ring", "pipelined_ring:8")
    )
    one_slot = replace(prices, landing_slots=1)
    assert pieces < 0.7 * ring
    assert algorithm("pipelined_ring:8").cost_ps(1600000, one_slot) > 0.95 * ring


def test_unequal_chunks_of_a_ring_cost_less_than_one_element_a_step_more():
    law = Law(add_ps_per_element=3000)
    wires, _ = exchanged("ring", 3, 4, law)
    cost_ps, ring = algorithm("ring").cost_ps(4, law.prices(3)), simulated_ps(wires)
    assert cost_ps < ring < cost_ps + 4 * law.transfer_ps(0, 1, 1)


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(0, 60), law=uneven_laws(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_exchange_of_any_group_is_faster_than_its_closed_form(name, ranks, elements, law, data):
    group = tuple(data.draw(st.permutations(range(6)))[:ranks])
    wires, _ = exchanged(name, ranks, elements, law, timed(name), group)
    cost_ps = algorithm(name).cost_ps(elements, law.prices(6).on(group))
    assert simulated_ps(wires) >= cost_ps


@every_algorithm
@given(elements=st.integers(0, 60), law=equal_laws(holds=True))
@settings(max_examples=40, deadline=None)
def test_two_ranks_whose_transfers_hold_compute_take_the_closed_form(name, elements, law):
    wires, _ = exchanged(name, 2, elements, law)
    cost_ps, found_ps = algorithm(name).cost_ps(elements, law.prices(2)), simulated_ps(wires)
    # unequal pieces may leave a lane idle
    assert found_ps >= cost_ps if name == "pipelined_ring" else found_ps == cost_ps


def sent(elements: int) -> int:
    return 1000 + 4 * elements


def added(elements: int) -> int:
    return 300 * elements


PAPER_PS = {
    # 3 ranks, 18 elements: chunks of 6, halves of 9, blocks of 2
    "ring": 4 * sent(6) + 2 * added(6),
    "star": 4 * sent(18) + 2 * added(18),
    "sharded_star": 4 * sent(6) + 2 * added(6),
    "tree": 4 * sent(18) + 2 * added(18),
    "double_binary_tree": 4 * sent(9) + 2 * added(9),
    "halving_doubling": 2 * sent(18) + added(18) + 2 * sent(9) + added(9),
    # three ranks are one node of them, or three nodes
    "torus": 4 * sent(6) + 2 * added(6),
    "hierarchical": 4 * sent(6) + 2 * added(6),
    "hierarchical_halving": 2 * sent(18) + added(18) + 2 * sent(9) + added(9),
    # one landing slot: a piece waits until the last one is added; gathered without
    "pipelined_ring": 8 * sent(3) + 3 * added(3),
    # of what two channels bring at first, one part waits for the other
    "multi_ring": 4 * sent(3) + 3 * added(3),
    "reduce": 2 * sent(18) + 2 * added(18),
    "broadcast": 2 * sent(18),
    # pieces of 4, 5, 4 and 5
    "chain_broadcast": 2 * sent(4) + 3 * sent(5),
    "scatter": 2 * sent(6),
    "gather": 2 * sent(6),
    "reduce_scatter": 2 * sent(6) + 2 * added(6),
    "all_gather": 2 * sent(6),
    "all_to_all": 2 * sent(2),
    "bruck_all_gather": 2 * sent(6),
    "bruck_all_to_all": 2 * sent(2),
    "hierarchical_all_to_all": 2 * sent(2),
}


@every_algorithm
def test_the_closed_form_on_paper(name):
    """1000 ps and 4 ps an element to transfer, 300 ps an element to add."""
    prices = Law(bandwidth=1e12).prices(3)
    assert algorithm(name).cost_ps(18, prices) == PAPER_PS[name]
    assert cost_s(name, 18, prices) == PAPER_PS[name] / PS_PER_S


def test_a_tree_is_its_two_halves_and_a_ring_too_where_links_are_alike():
    prices = Law().prices(6)
    cost = {name: algorithm(name).cost_ps(600, prices) for name in names("planner.collectives")}
    assert cost["tree"] == cost["reduce"] + cost["broadcast"]
    assert cost["ring"] == cost["reduce_scatter"] + cost["all_gather"]


# Claims

MEET = {("double_binary_tree", 6), ("hierarchical_halving", 6), ("hierarchical_halving", 9)}
"""Where two transfers want one lane in one step: of two trees, or to fold out and to gather."""


@every_algorithm
@pytest.mark.parametrize("ranks", range(2, 10))
def test_steps_are_the_time_when_a_transfer_takes_one_and_all_else_nothing(name, ranks):
    law = Law(overhead_ps=1, item_bytes=0, add_ps_per_element=0, landing_slots=ranks)
    wires, _ = exchanged(name, ranks, 5 * ranks, law)
    meets = (name, ranks) in MEET
    assert simulated_ps(wires) == algorithm(name).steps(ranks) + meets
    assert algorithm(name).steps(ranks) == algorithm(name).cost_ps(0, law.prices(ranks))


def carried(operation: str, wires: Wires) -> float:
    """Elements on a link: of the root, of the busiest other rank, or the mean where all are alike.

    nccl-tests: busbw is what each rank's link carries, algbw what the caller sees.
    """
    out, into = [0] * wires.ranks, [0] * wires.ranks
    for src, dst, spans, _ in wires.sends.values():
        out[src] += width_of(*spans)
        into[dst] += width_of(*spans)
    rooted = {"broadcast": max(into), "reduce": max(out), "scatter": out[0], "gather": into[0]}
    return rooted.get(operation, sum(out) / wires.ranks)


@every_algorithm
@given(ranks=st.integers(2, 7), chunk=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_bus_bandwidth_factor_is_what_a_link_carries_over_what_is_exchanged(name, ranks, chunk):
    """Of an all-to-all, what a rank has for others and itself: one row of the matrix."""
    elements, operation = chunk * ranks * ranks, algorithm(name).OPERATION
    wires, _ = exchanged(name, ranks, elements, Law())
    seen = elements // ranks if operation == "all_to_all" else elements
    assert carried(operation, wires) / seen == pytest.approx(carried_frac(name, ranks))
    assert carried_frac(name, ranks) >= 0.999999 * busbw_factor(operation, ranks)


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(0, 60), law=uneven_laws())
@settings(max_examples=30, deadline=None)
def test_loads_are_what_the_tasks_of_each_rank_sum_to(name, ranks, elements, law):
    wires, _ = exchanged(name, ranks, elements, law)
    found = traffic(algorithm(name).emit, elements, ranks).loads(law.prices(ranks))
    sends = wires.sends.values()
    moved = [(s, d, law.transfer_ps(s, d, width_of(*spans))) for s, d, spans, _ in sends]
    adds = [(r, law.add_ps(r, b - a)) for r, (a, b), _ in wires.adds.values()]
    assert found == [
        Load(
            send_ps=sum(ps for src, _, ps in moved if src == rank),
            receive_ps=sum(ps for _, dst, ps in moved if dst == rank),
            add_ps=sum(ps for at, ps in adds if at == rank),
        )
        for rank in range(ranks)
    ]
    assert all(load.total_ps == load.send_ps + load.receive_ps + load.add_ps for load in found)


@every_algorithm
@given(ranks=st.integers(2, 6), elements=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_landing_elements_hold_the_widest_arrival_of_each_rank_and_no_more(name, ranks, elements):
    wires, _ = exchanged(name, ranks, elements, Law())
    moved = traffic(algorithm(name).emit, elements, ranks)
    widths = dict.fromkeys(product(range(ranks), {0, *wires.channel_of.values()}), 0)
    for task, (_, dst, spans, lands) in wires.sends.items():
        if lands:
            at = dst, wires.channel_of[task]
            widths[at] = max(widths[at], width_of(*spans))
    assert {at: moved.landing_elements(*at) for at in widths} == widths


# The oracle of time, shown to fail


@every_algorithm
def test_the_time_shows_sends_of_half_the_span(name):
    faulty, _ = exchanged(name, 4, 32, Law(), seeded("wrong span", 0, every=True))
    assert simulated_ps(faulty) != algorithm(name).cost_ps(32, Law().prices(4))


@pytest.mark.parametrize("name", ["ring", "star", "sharded_star"])
def test_the_time_shows_a_step_too_few(name):
    wires, _ = exchanged(name, 4, 32, Law())
    last = len(wires.sends) - len(wires.sends) // algorithm(name).steps(4)
    faulty, _ = exchanged(name, 4, 32, Law(), seeded("one step too few", last))
    assert simulated_ps(faulty) != algorithm(name).cost_ps(32, Law().prices(4))


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


def test_a_plan_may_use_only_an_all_reduce():
    assert "broadcast" not in algorithm_names()
    assert algorithm_names("broadcast") == ["broadcast"]
    assert {algorithm(name).OPERATION for name in algorithm_names()} == {"all_reduce"}


@pytest.mark.parametrize(
    "module",
    [
        *(base, _lanes, _levels, _trees, bruck_all_gather, bruck_all_to_all, double_binary_tree),
        *(halving_doubling, hierarchical_all_to_all, multi_ring),
    ],
)
def test_examples_in_docstrings_are_so(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("torus:2x2x2", 8),
        ("torus:4x2", 8),
        ("hierarchical:4", 8),
        ("hierarchical_halving:3", 12),
        ("multi_ring:4", 8),
        ("multi_ring:4x1x4", 8),
        ("multi_ring:2x2x4", 8),
        ("multi_ring:3x2", 8),
        ("chain_broadcast:16", 8),
        ("pipelined_ring:4", 8),
        ("hierarchical_all_to_all:4", 8),
        ("hierarchical_all_to_all:2", 6),
    ],
)
def test_numbers_after_the_colon_shape_the_algorithm(name, ranks):
    """Three dimensions, nodes, channels: time as claimed, and as few steps."""
    law = Law(add_ps_per_element=0)
    elements = 4 * ranks * ranks
    wires, _ = exchanged(name, ranks, elements, law)
    assert simulated_ps(wires) == algorithm(name).cost_ps(elements, law.prices(ranks))
    assert algorithm(name).cost_ps(0, Law(overhead_ps=1).prices(ranks)) == algorithm(name).steps(
        ranks
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ring:8", "expected a name without numbers, got '8'"),
        ("hierarchical:", "expected the ranks of a node after the colon, got ''"),
        ("torus:4y2", "got '4y2'"),
    ],
)
def test_numbers_that_are_none_are_refused(name, said):
    with pytest.raises(PlanError, match=said):
        algorithm(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hierarchical:5", "that divide 12, got 5"),
        ("torus:4x4", "whose product is 12 ranks, got 4x4"),
        ("multi_ring:9", "expected 1 to 4 channels on 12 ranks, got 9"),
        ("multi_ring:9x2", "expected 1 to 4 channels on 12 ranks, got 9"),
        ("multi_ring:2x1x12", "of which 12 ranks fill several, got 2x1x12"),
        ("multi_ring:4x1x6", "that divides the ranks of a node, .* got 4x1x6"),
        ("multi_ring:2x1x4x2", "got 2x1x4x2"),
    ],
)
def test_numbers_that_do_not_suit_the_ranks_are_refused(name, said):
    assert not fits(name, 12)
    with pytest.raises(PlanError, match=said):
        algorithm(name).emit(Wires(ranks=12, elements=12), [()] * 12)

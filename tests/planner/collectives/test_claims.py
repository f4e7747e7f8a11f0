"""Every collective algorithm keeps its claims: steps, bytes on a link, loads, landing room."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.algorithms import algorithm, carried_frac
from planner.collectives.base import Load, busbw_factor, traffic, width_of
from tests.planner.collectives.wires import (
    Law,
    Wires,
    every_algorithm,
    exchanged,
    simulated_ps,
    uneven_laws,
)

pytestmark = pytest.mark.slow

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

"""Where all ranks are alike, closed forms price one chunk, one rank and one subtree for all."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.algorithms import algorithm
from tests.planner.collectives.wires import Law, every_algorithm


@every_algorithm
@given(
    ranks=st.integers(2, 40),
    elements=st.integers(0, 5000),
    add_ps=st.sampled_from([0, 300, 10**5]),
    holds=st.booleans(),
    slots=st.integers(1, 3),
)
@settings(max_examples=12, deadline=None)
def test_alike_is_a_shorter_way_to_the_same_time(name, ranks, elements, add_ps, holds, slots):
    law = Law(add_ps_per_element=add_ps, holds=holds, landing_slots=slots)
    each, alike = law.prices(ranks), replace(law.prices(ranks), alike=True)
    assert algorithm(name).cost_ps(elements, alike) == algorithm(name).cost_ps(elements, each)


@pytest.mark.parametrize("name", ["ring", "halving_doubling"])
def test_ranks_that_are_not_alike_show(name):
    uneven = replace(Law(slower_ranks=1).prices(6), alike=True)
    each = replace(uneven, alike=False)
    assert algorithm(name).cost_ps(600, uneven) != algorithm(name).cost_ps(600, each)

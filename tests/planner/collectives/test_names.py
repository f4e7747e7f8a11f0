"""Chunks, and the names of algorithms: what numbers after the colon mean, and which are refused."""

import doctest
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from planner.algorithms import algorithm, algorithm_names, fits
from planner.collectives import (
    _lanes,
    _levels,
    _trees,
    base,
    bruck_all_gather,
    bruck_all_to_all,
    double_binary_tree,
    halving_doubling,
    hierarchical_all_to_all,
    multi_ring,
)
from planner.collectives.base import chunk_spans
from tests.planner.collectives.wires import Law, Wires, exchanged, simulated_ps

pytestmark = pytest.mark.slow


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

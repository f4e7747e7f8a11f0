"""Moves of a few ranks stand for those of all; who adds what follows from one of them."""

import numpy as np
import pytest

from planner import landings as landings_module
from planner.emitted import emitted, symmetry
from planner.landings import landings
from planner.moves import FOLD_FROM_RANKS, fitting_moves, folded_moves, moves_of
from tests.planner_cases import ALGORITHMS, NUMBERED

RANKS = 32
FOLDING = [name for name in (*ALGORITHMS, *NUMBERED) if symmetry(name, RANKS)]


def check_landings(name: str, ranks: int) -> None:
    told, seen = landings(name, ranks), landings_module._of_all(name, ranks)
    assert told.shape == seen.shape


@pytest.mark.parametrize("name", [*ALGORITHMS, *NUMBERED])
@pytest.mark.parametrize("ranks", [2, 6, 8])
def test_additions_told_by_one_rank_are_those_of_all(name, ranks):
    check_landings(name, ranks)


def test_the_comparison_shows_an_algorithm_that_is_taken_for_another():
    with pytest.raises(AssertionError):
        assert landings("ring", 8).shape == landings_module._of_all("sharded_star", 8).shape


def chains(moves, sizes, duration):
    head, tail = moves.times(duration(moves, sizes), np.zeros(len(sizes), dtype=np.int64))
    return (head + duration(moves, sizes) + tail).max(axis=0)


@pytest.mark.parametrize("name", FOLDING)
def test_the_longest_chain_of_a_few_ranks_is_that_of_all(name):
    """Where blocks are equal and pairs alike."""
    sizes = [moves_of(name, RANKS).blocks * n for n in (1, 3, 1000)]

    def alone(moves, sizes):
        adds = np.zeros(len(moves.src), dtype=bool)
        adds[moves.adds] = True
        return moves.widths(sizes)[moves.span_of] * np.where(adds, 1, 7)[:, None]

    few = fitting_moves(name, RANKS, lambda pairs: np.zeros(len(pairs)))
    assert few.folded
    assert few.seats == 1
    assert (
        chains(few, sizes, alone).tolist() == chains(moves_of(name, RANKS), sizes, alone).tolist()
    )


def test_ranks_that_differ_in_their_rates_do_not_stand_for_one_another():
    def rates(pairs):
        return (pairs[:, 0] % 8 == 7) * 1.0  # every eighth hop leaves a node

    found = fitting_moves("ring", RANKS, rates)
    assert found.seats == 8
    assert found.seats * len(emitted("ring", RANKS).moves) == RANKS * len(found.src)
    assert fitting_moves("ring", RANKS, lambda pairs: pairs[:, 0] * 1.0).seats == RANKS
    assert FOLD_FROM_RANKS <= RANKS
    assert folded_moves("ring", RANKS, (8,)) is found

"""Moves of a few ranks stand for those of all: they tell the same times, or less."""

import numpy as np
import pytest

from planner.algorithms import algorithm
from planner.folded_moves import FOLD_FROM_RANKS, fitting_moves, folded_moves
from planner.moves import block_edges, chain_ends, chain_rests, moves_of
from tests.planner_cases import ALGORITHMS, NUMBERED

RANKS = 32


def few(name):
    return fitting_moves(name, RANKS, lambda pairs: np.zeros(len(pairs)))


RINGS = ("multi_ring:4", "multi_ring:8x1x8")
FOLDING = [n for n in dict.fromkeys((*ALGORITHMS, *NUMBERED, *RINGS)) if few(n)]


def chains_ps(moves, sizes):
    """Return the longest chain where an element takes 7 ps to send and 1 ps to add."""
    adds = np.zeros(len(moves.src), dtype=bool)
    adds[moves.adds] = True
    edges = block_edges(moves.blocks, sizes)
    width = edges[moves.spans[:, 1]] - edges[moves.spans[:, 0]]
    duration = width[moves.span_of] * np.where(adds, 1, 7)[:, None]
    every = np.arange(len(duration))
    end = chain_ends(moves.levels, duration, every)
    assert (end.max(axis=0) == chain_rests(moves.back, duration, every).max(axis=0)).all()
    return end.max(axis=0).tolist()


def chains_of_all_ps(name, sizes):
    return chains_ps(moves_of(algorithm(name).emit, RANKS), sizes)


@pytest.mark.parametrize("name", FOLDING)
def test_the_longest_chain_of_one_rank_is_that_of_all_where_blocks_are_equal(name):
    found = few(name)
    assert found.seats == 1
    sizes = [found.blocks * n for n in (1, 3, 1000)]
    told = chains_ps(found, sizes)
    assert told == chains_of_all_ps(name, sizes)
    with pytest.raises(AssertionError):  # the oracle, shown to fail
        assert told == chains_of_all_ps(name, [n + found.blocks for n in sizes])


@pytest.mark.parametrize("name", FOLDING)
def test_it_is_never_longer_where_they_are_not(name):
    found = few(name)
    sizes = [found.blocks * 3 + n for n in (1, 7, found.blocks - 1)]
    told = chains_ps(found, [found.blocks * 3] * len(sizes))
    assert all(a <= b for a, b in zip(told, chains_of_all_ps(name, sizes), strict=True))


def test_ranks_that_differ_in_their_rates_do_not_stand_for_one_another():
    found = fitting_moves("ring", RANKS, lambda pairs: (pairs[:, 0] % 8 == 7) * 1.0)
    assert found.seats == 8  # every eighth hop leaves a node
    assert folded_moves("ring", RANKS, (8,)) is found
    assert fitting_moves("ring", RANKS, lambda pairs: pairs[:, 0] * 1.0) is None
    assert fitting_moves("ring", FOLD_FROM_RANKS - 1, lambda pairs: np.zeros(len(pairs))) is None


@pytest.mark.parametrize("name", FOLDING)
def test_a_lane_of_the_ranks_that_stand_for_all_is_as_busy_as_one_of_all(name):
    found, moves = few(name), moves_of(algorithm(name).emit, RANKS)
    assert found.channels == moves.channels
    kinds = found.kinds
    sides = (moves.by_src, kinds.out), (moves.by_dst, kinds.into)
    for of_all, channel in sides:  # the one rank sends to those like it
        counts = np.zeros(found.channels, dtype=np.int64)
        np.add.at(counts, channel[kinds.sends], kinds.alike.sizes[kinds.sends])
        every = of_all.sizes.reshape(RANKS, -1)
        assert (every == counts).all()
        with pytest.raises(AssertionError):  # the oracle, shown to fail
            assert (every == counts + 1).all()


def test_where_a_rank_is_a_root_all_ranks_are_looked_at():
    assert {"ring", "halving_doubling", "multi_ring", *RINGS} <= set(FOLDING)
    assert not {"star", "tree", "in_network"} & set(FOLDING)


@pytest.mark.parametrize("name", FOLDING)
def test_every_move_leads_to_one_after_which_a_copy_is_final(name):
    """So an update follows every drain (``planner.folded_work``)."""
    moves = few(name)
    final = set(np.concatenate(moves.last).tolist())
    awaited = {int(task) for _, before in moves.levels for task in before.order}
    assert final | awaited == set(range(len(moves.src)))

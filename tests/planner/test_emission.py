"""The moves of one rank, turned, are the moves that all ranks emit."""

from dataclasses import fields

import numpy as np
import pytest

from hwprofiles.errors import PlanError
from planner.algorithms import algorithm
from planner.emission import noted, unfolded
from tests.planner_cases import ALGORITHMS, NUMBERED

TURNED = ("multi_ring:4x1x4", "multi_ring:2x3x2", "multi_ring:2x2")
OTHERS = ("multi_ring:3", "all_gather", "reduce_scatter")
NAMES = (*dict.fromkeys((*ALGORITHMS, *NUMBERED, *OTHERS, *TURNED)),)
RANKS = (2, 4, 7, 8, 12, 16)


def folds():
    for name in NAMES:
        for ranks in RANKS:
            symmetry = getattr(algorithm(name), "symmetry", None)
            try:
                if symmetry:
                    yield pytest.param(name, symmetry(ranks), id=f"{name}-{ranks}")
            except PlanError:  # the numbers are for other ranks
                continue


def differing(one, other):
    pairs = ((f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return [name for name, a, b in pairs if not np.array_equal(a, b)]


@pytest.mark.parametrize(("name", "fold"), list(folds()))
def test_one_rank_turned_is_all(name, fold):
    emit = algorithm(name).emit
    assert not differing(noted(emit, fold.order), unfolded(emit, fold))


def test_another_turn_gives_other_moves():  # the oracle, shown to fail
    ring, halving = (algorithm(name) for name in ("ring", "halving_doubling"))
    found = differing(noted(ring.emit, 8), unfolded(halving.emit, halving.symmetry(8)))
    assert {"src", "dst", "waits", "last"} <= set(found)

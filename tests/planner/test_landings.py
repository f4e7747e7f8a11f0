"""What lands where, told by one rank, is what all ranks tell; and what is emitted in elements."""

import numpy as np
import pytest

from planner import landings
from planner.algorithms import algorithm, algorithm_names, fits
from planner.collectives.base import traffic
from planner.folded_script import symmetry
from planner.landings import added_widths, distinct_names, landing_widths, landings_of
from tests.planner_cases import ALGORITHMS, NUMBERED

RANKS, SIZES = 32, [1, 31, 1003]
NAMES = dict.fromkeys((*ALGORITHMS, *NUMBERED, "multi_ring:4", "multi_ring:2x1x2"))
FOLDING = [name for name in NAMES if fits(name, RANKS) and symmetry(name, RANKS)]


def emitted_widths(name: str, elements: int) -> list[list[int]]:
    """Return the widest arrival by rank and channel, from the exchange itself."""
    moved = traffic(algorithm(name).emit, elements, RANKS)
    channels = range(landings_of(name, RANKS).channels)
    return [[moved.landing_elements(rank, c) for c in channels] for rank in range(RANKS)]


@pytest.mark.parametrize("name", FOLDING)
def test_one_rank_tells_what_lands_at_every_rank(name):
    told = np.moveaxis(landing_widths(name, RANKS, SIZES), -1, 0)
    for widths, elements in zip(told.tolist(), SIZES, strict=True):
        assert widths == emitted_widths(name, elements)
        moved = traffic(algorithm(name).emit, elements, RANKS)
        assert added_widths(name, RANKS, elements) == sorted({width for _, width in moved.adds})
    with pytest.raises(AssertionError):  # the oracle, shown to fail
        assert told[-1].tolist() == emitted_widths(name, 2 * SIZES[-1])


@pytest.mark.parametrize("name", FOLDING)
def test_one_rank_counts_the_moves_and_arrivals_of_all(name, monkeypatch):
    every = landings._of_all(name, RANKS)
    monkeypatch.setattr(landings, "script_of", None)  # nobody looks at all ranks
    told = landings_of.__wrapped__(name, RANKS)
    assert (told.moves, told.channels, told.most) == (every.moves, every.channels, every.most)


@pytest.mark.parametrize("ranks", [2, 4, 6, 16, 32])
def test_of_algorithms_that_do_the_same_one_stays(ranks):
    names = [name for name in algorithm_names() if fits(name, ranks)]
    programs = {landings._program(name, ranks): name for name in names}
    kept = distinct_names(ranks)
    assert {landings._program(name, ranks) for name in kept} == programs.keys()
    assert len(kept) == len(programs)
    assert kept == sorted(kept)

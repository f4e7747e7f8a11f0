"""Turns of one figure against made-up times: where another wins, and where it stays ahead."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.contest import Winner
from planner.flips import BRIEF, CLOSE, EXACT, RANGE, Turn


@dataclass(frozen=True)
class Times:
    """A contest in which the time of a row is a step function of the distance from today."""

    knots: tuple[float, ...]
    """Distances, ascending from 1."""
    rows: tuple[tuple[int, ...], ...]
    """By row its time from each knot on, picoseconds."""

    told = None
    machine = 1.0

    @property
    def lowered(self):
        return dict.fromkeys(range(len(self.rows)))

    @property
    def plans(self):
        return [SimpleNamespace(label=str(row)) for row in range(len(self.rows))]

    def step_ps(self, row, factor):
        distance = max(factor, 1 / factor)
        return self.rows[row][bisect_right(self.knots, distance) - 1]

    def winner(self, factor, holders, floor_ps, is_exact=False):
        """The fastest of all; of equal ones a holder, else the first."""
        best = min(range(len(self.rows)), key=lambda r: (self.step_ps(r, factor), r not in holders))
        return Winner(row=best, step_ps=self.step_ps(best, factor), proved=True)


KNOB = SimpleNamespace(
    name="a.figure", is_rate=True, machine=lambda plans, factor: factor, figures=lambda *_: {}
)


def turned(times, side):
    return Turn(
        contest=times,
        plans=None,
        holders=[0],
        knob=KNOB,
        side=side,
        floor_ps=np.zeros(len(times.rows), dtype=np.int64),
        machines={},
    ).flip()


def check(times, side, flip):
    """What the flip says is so, asked of the times alone."""

    def first(factor):
        return times.winner(factor, [0], None).row

    away = CLOSE if side == "above" else 1 / CLOSE
    if flip.factor is None:
        assert first(RANGE if side == "above" else 1 / RANGE) == 0
        assert not flip.before
        return
    assert len(flip.before) < BRIEF
    assert (first(flip.factor * away) != 0) == flip.lasts
    if flip.lasts:
        assert flip.beyond_factor == pytest.approx(flip.factor * away)
    else:
        distance = flip.beyond_factor / flip.factor
        assert max(distance, 1 / distance) <= EXACT
    assert str(first(flip.beyond_factor)) == flip.winner
    held, best = (times.step_ps(row, flip.beyond_factor) for row in (0, int(flip.winner)))
    assert flip.faster_frac == pytest.approx(1 - best / held)
    assert best < held
    near = max(flip.factor, 1 / flip.factor) / CLOSE
    reached = max([1.0, *(max(b.factor, 1 / b.factor) * CLOSE for b in flip.before)])
    if near > reached * EXACT:
        assert first(flip.factor / away) == 0


@st.composite
def all_times(draw):
    distances = draw(st.lists(st.floats(1.001, 8.5), min_size=1, max_size=8, unique=True))
    knots = (1.0, *sorted(distances))
    row = st.tuples(*[st.integers(90, 110)] * len(knots))
    rows = draw(st.lists(row, min_size=2, max_size=4))
    return Times(knots, tuple((80, *own[1:]) if not r else own for r, own in enumerate(rows)))


SIDES = st.sampled_from(["above", "below"])


@given(times=all_times(), side=SIDES)
def test_what_a_flip_says_is_so(times, side):
    check(times, side, turned(times, side))


def spell(*turns):
    """Row 1 is ahead of row 0 from each even turn to the next odd one."""
    leads = tuple(100 if i % 2 == 0 else 90 for i in range(len(turns) + 1))
    return Times((1.0, *turns), ((95,) * len(leads), leads))


def test_a_winner_that_does_not_stay_is_passed_over_for_one_that_does():
    flip = turned(spell(2.8, 2.85, 4.0), "above")
    assert flip.factor == pytest.approx(4, rel=EXACT - 1)
    (brief,) = flip.before
    assert brief.factor == pytest.approx(2.8, rel=EXACT - 1)
    assert (brief.winner, brief.faster_frac) == ("1", pytest.approx(5 / 95))


def test_a_winner_that_nowhere_stays_is_told_as_that():
    times = spell(3.99, 4.02)
    flip = turned(times, "below")
    assert (flip.lasts, flip.before) == (False, ())
    assert 1 / flip.factor == pytest.approx(3.99, rel=EXACT - 1)
    check(times, "below", flip)
    many = [d for i in range(12) for d in (2 * 1.06**i, 2 * 1.06**i * 1.02)]
    assert all(b / a < 1.05 for a, b in pairwise(many))
    check(spell(*many, 7.9), "above", turned(spell(*many, 7.9), "above"))


@pytest.mark.parametrize(
    "fields", [{"lasts": False}, {"factor": 4.4}, {"faster_frac": 0.01}], ids=str
)
def test_a_flip_that_is_not_so_is_seen(fields):
    times = spell(4.0)
    flip = turned(times, "above")
    check(times, "above", flip)
    with pytest.raises(AssertionError):
        check(times, "above", replace(flip, **fields))

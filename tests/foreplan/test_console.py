"""How long it will still take: at an even pace the truth, stage by stage, whatever the total."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foreplan.console
from foreplan.console import Pace


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(foreplan.console).failed == 0


@given(each_s=st.floats(1e-3, 1e3), totals=st.lists(st.integers(2, 1000), min_size=1, max_size=4))
def test_at_an_even_pace_the_time_left_is_told(each_s, totals):
    clock = Clock()
    pace = Pace(clock)
    for total in totals:  # a stage after the other
        assert pace.left_s(0, total) is None
        for done in range(1, total + 1, max(1, total // 5)):
            clock.now_s += each_s * min(done, max(1, total // 5))
            told = pace.left_s(done, total)
            assert told == pytest.approx(each_s * (total - done), abs=1e-6)
        pace.left_s(total, total)


def test_a_total_that_changes_does_not_stop_the_clock():
    clock = Clock()
    pace = Pace(clock)
    pace.left_s(0, 100)
    clock.now_s = 10.0
    assert pace.left_s(50, 100) == pytest.approx(10)
    assert pace.left_s(50, 150) == pytest.approx(20)
    assert pace.left_s(50, 40) == 0

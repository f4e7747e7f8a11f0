"""How long it will still take: at an even pace the truth, stage by stage, whatever the total."""

import doctest
import os
import select
import sys
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foreplan.console
from foreplan.console import Pace, progress


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


@contextmanager
def terminal(monkeypatch):
    """Standard error on a terminal; gives what reads it until some text has been shown."""
    ours, theirs = os.openpty()
    shown = b""

    def wait_for(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([ours], [], [], 20)[0], f"{text!r} was never shown: {shown!r}"
            shown += os.read(ours, 1 << 16)

    with os.fdopen(theirs, "w") as stream, monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(foreplan.console, "PROGRESS_AFTER_S", 0.0)
        patch.setattr(sys, "stderr", stream)
        yield wait_for
    os.close(ours)


def test_a_terminal_shows_a_bar_before_anything_is_counted_and_then_the_count(monkeypatch):
    with terminal(monkeypatch) as wait_for, progress("packing", quiet=False) as step:
        wait_for(b"packing")
        step(3, 1000, "boxes")
        wait_for(b"3/1,000")
        wait_for(b"boxes")

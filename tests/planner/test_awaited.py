"""Sets of tasks as arrays are what plain sets of Python give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import awaited
from planner.awaited import TaskSets, united

SETS = st.lists(st.sets(st.integers(0, 40), max_size=5).map(sorted).map(tuple), max_size=8)
COUNT = 4


def as_plain(sets: list[tuple[int, ...]], into: list[int]) -> list[tuple[int, ...]]:
    found: list[set[int]] = [set() for _ in range(COUNT)]
    for own, at in zip(sets, into, strict=True):
        found[at] |= set(own)
    return [tuple(sorted(own)) for own in found]


@given(sets=SETS, more=SETS, data=st.data())
def test_sets_go_into_others_as_those_of_python(sets, more, data):
    into = [
        data.draw(st.lists(st.integers(0, COUNT - 1), min_size=len(some), max_size=len(some)))
        for some in (sets, more)
    ]
    parts = [
        (np.array(at, dtype=np.int64), TaskSets.of(some))
        for at, some in zip(into, (sets, more), strict=True)
    ]
    assert list(united(COUNT, parts)) == as_plain(sets + more, into[0] + into[1])


@given(sets=SETS, data=st.data())
def test_sets_in_another_order_are_the_same_sets(sets, data):
    places = st.integers(0, max(0, len(sets) - 1))
    which = data.draw(st.lists(places, max_size=10 * bool(sets)))
    shifts = data.draw(st.lists(st.integers(0, 9), min_size=len(which), max_size=len(which)))
    some = TaskSets.of(sets).take(np.array(which, dtype=np.int64))
    assert list(some) == [sets[at] for at in which]
    later = some.later(np.array(shifts, dtype=np.int64))
    moved = zip(which, shifts, strict=True)
    assert list(later) == [tuple(task + by for task in sets[at]) for at, by in moved]


def test_the_comparison_shows_a_task_that_is_kept_twice(monkeypatch):
    monkeypatch.setattr(awaited.np, "diff", lambda found, prepend: np.ones(len(found)))
    twice = united(1, [(np.array([0, 0]), TaskSets.of([(3,), (3,)]))])
    with pytest.raises(AssertionError):
        assert list(twice) == [(3,)]

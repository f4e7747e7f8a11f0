"""Workers that are not in step: bounds hold, and delays are counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.updates import Server, simulate_synchronous, simulate_updates

FREE = Server(serve_ps=0, travel_ps=0)


@st.composite
def durations(draw):
    workers, steps = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    rows = st.lists(st.integers(1, 50), min_size=steps, max_size=steps)
    return np.array(draw(st.lists(rows, min_size=workers, max_size=workers)), dtype=np.int64)


def test_on_paper():
    """The slow worker's one update is late by the fast one's two."""
    found = simulate_updates(np.array([[3, 3], [7, 7]]), FREE, None)
    assert found.applied_ps.tolist() == [3, 6, 7, 14]
    assert found.worker.tolist() == [0, 0, 1, 1]
    assert found.delay.tolist() == [0, 0, 2, 0]


def test_a_bound_makes_the_fast_worker_wait():
    found = simulate_updates(np.array([[3, 3, 3], [7, 7, 7]]), FREE, 1)
    assert found.applied_ps[found.worker == 0].tolist() == [3, 6, 10]
    assert found.waited_ps == 1


@given(compute=durations(), bound=st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_no_worker_is_further_ahead_than_the_bound(compute, bound):
    found = simulate_updates(compute, Server(serve_ps=2, travel_ps=3), bound)
    check_bound(found, len(compute), bound)
    assert len(found.worker) == compute.size


def check_bound(found, workers, bound):
    clocks = [0] * workers
    for worker in found.worker.tolist():
        clocks[worker] += 1
        assert clocks[worker] - min(clocks) <= bound + 1


def test_workers_without_a_bound_are_seen():
    """The oracle above, shown to fail."""
    found = simulate_updates(np.array([[1] * 6, [100] * 6]), FREE, None)
    with pytest.raises(AssertionError):
        check_bound(found, 2, 1)


@given(compute=durations(), bound=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_where_the_server_costs_nothing_a_looser_bound_delays_no_worker(compute, bound):
    tight, loose = (simulate_updates(compute, FREE, b) for b in (bound, bound + 1))
    free = simulate_updates(compute, FREE, None)
    for worker, row in enumerate(compute):
        ends = [f.applied_ps[f.worker == worker] for f in (tight, loose, free)]
        assert (ends[0] >= ends[1]).all()
        assert (ends[1] >= ends[2]).all()
        assert ends[2].tolist() == np.cumsum(row).tolist()


@given(compute=durations())
@settings(max_examples=30, deadline=None)
def test_in_step_takes_as_long_as_a_bound_of_none_ahead(compute):
    in_step = simulate_synchronous(compute, 0)
    bound = simulate_updates(compute, FREE, 0)
    assert in_step[-1] == bound.applied_ps[-1] == compute.max(axis=0).sum()


@given(compute=durations(), serve=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_the_server_takes_one_update_at_a_time(compute, serve):
    found = simulate_updates(compute, Server(serve_ps=serve, travel_ps=0), None)
    assert found.applied_ps[-1] >= serve * compute.size
    assert (np.diff(found.applied_ps) >= serve).all()


def test_equal_workers_are_late_by_each_other():
    found = simulate_updates(np.full((4, 10), 100), Server(serve_ps=1, travel_ps=0), None)
    assert found.delay[4:].tolist() == [3] * 36

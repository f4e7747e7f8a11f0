"""Timelines: makespan, equality, busy lanes."""

import numpy as np
import pytest

from hwprofiles.errors import PlanError
from sim import heap_engine
from sim.graphbuilder import GraphBuilder
from sim.timeline import Timeline


def test_the_makespan_is_the_last_end():
    timeline = Timeline.from_lists([0, 5], [7, 6])
    assert (timeline.makespan_ps, timeline.makespan_s) == (7, 7e-12)
    assert Timeline.from_lists([], []).makespan_ps == 0


def test_timelines_are_equal_when_every_instant_is():
    one = Timeline.from_lists([0, 5], [7, 6])
    assert one.equals(Timeline.from_lists([0, 5], [7, 6]))
    assert not one.equals(Timeline.from_lists([0, 5], [7, 7]))
    assert not one.equals(Timeline.from_lists([1, 5], [7, 6]))


def test_an_instant_beyond_64_bits_is_refused():
    with pytest.raises(PlanError, match="106 days"):
        Timeline.from_lists([0], [2**63])


def test_a_lane_is_busy_while_it_is_held():
    b = GraphBuilder()
    left, right, idle = b.lane(0), b.lane(0), b.lane(1)
    b.compute([left], 5)
    b.compute([left, right], 3)
    graph = b.build()
    busy = heap_engine.simulate(graph).lane_busy_ps(graph)
    assert busy[[left, right, idle]].tolist() == [8, 3, 0]
    assert busy.dtype == np.int64

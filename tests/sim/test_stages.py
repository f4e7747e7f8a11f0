"""Stages through the disk: never faster than actors, and as many as there are exchanges."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine import simulate
from sim.graphbuilder import GraphBuilder
from sim.stages import Disk, staged, stages_of

FAST = Disk(bandwidth_bytes_per_s=1e30)
SLOW = Disk(bandwidth_bytes_per_s=1e9, stage_s=1e-9)


@st.composite
def ordered_graphs(draw):
    """Graphs whose lanes have one order, and whose transfers have links of their own: no anomaly.

    A task follows the one before it on each of its lanes, and some others.
    """
    builder = GraphBuilder()
    lanes = [builder.lane(device) for device in range(3)]
    before = dict.fromkeys(lanes, -1)
    register = builder.register(0, 100, 40)
    written = []
    for task in range(draw(st.integers(1, 14))):
        held = sorted(draw(st.sets(st.sampled_from(lanes), min_size=1, max_size=2)))
        after = {before[lane] for lane in held} | draw(st.sets(st.integers(0, 13), max_size=2))
        common = {
            "after": sorted(d for d in after if 0 <= d < task),
            "reads": [w for w in written if draw(st.booleans())][-2:],
            "writes": [register] if draw(st.booleans()) else [],
        }
        duration = draw(st.integers(0, 40))
        if draw(st.booleans()):
            route = builder.path([builder.link(1e12)])
            payload = draw(st.integers(0, 60))
            builder.transfer(held, duration, payload_bytes=payload, route=route, **common)
        else:
            builder.compute(held, duration, **common)
        written += [(task, register)] if common["writes"] else []
        before.update(dict.fromkeys(held, task))
    return builder.build()


@given(graph=ordered_graphs())
@settings(max_examples=40, deadline=None)
def test_stages_are_never_faster_than_actors_nor_a_slow_disk_than_a_fast_one(graph):
    actors = simulate(graph).makespan_ps
    fast, slow = (simulate(staged(graph, disk).graph).makespan_ps for disk in (FAST, SLOW))
    assert actors <= fast <= slow


@given(graph=ordered_graphs())
@settings(max_examples=20, deadline=None)
def test_no_task_begins_before_all_of_the_stage_before_have_ended(graph):
    found = staged(graph, SLOW)
    timeline, stage = simulate(found.graph), stages_of(graph)
    start, end = timeline.start_ps[found.place], timeline.end_ps[found.place]
    for number in range(1, found.stages):
        assert start[stage == number].min() >= end[stage == number - 1].max()


def two_stages():
    """A task, a transfer of 100 bytes of what it wrote, and a task that reads both."""
    builder = GraphBuilder()
    here, there = builder.lane(0), builder.lane(1)
    made, kept = builder.register(0, 1, 30), builder.register(0, 1, 7)
    first = builder.compute([here], 10, writes=[made, kept])
    route = builder.path([builder.link(1e12)])
    sent = builder.transfer([here, there], 5, payload_bytes=100, route=route, reads=[(first, made)])
    builder.compute([here], 20, after=[sent], reads=[(first, kept)])
    return builder.build()


def test_on_paper():
    """10 + 5 + 100 ps; through each disk 100 B once, and 7 B twice here; 3 ps a stage; 20 ps."""
    graph = two_stages()
    assert stages_of(graph).tolist() == [0, 0, 1]
    found = staged(graph, Disk(bandwidth_bytes_per_s=1e12, stage_s=3e-12))
    assert (found.stages, found.disk_bytes) == (2, 100 + 100 + 14)
    assert simulate(found.graph).makespan_ps == 115 + 114 + 3 + 20 + 3
    assert simulate(graph).makespan_ps == 135


def test_without_a_barrier_it_is_seen():
    """The oracle of the barrier, shown to fail: actors let a later stage begin."""
    builder = GraphBuilder()
    lanes = [builder.lane(device) for device in range(3)]
    route = builder.path([builder.link(1e12)])
    sent = builder.transfer(lanes[:2], 1, payload_bytes=1, route=route)
    builder.compute([lanes[1]], 5, after=[sent])
    builder.compute([lanes[2]], 1000)
    graph = builder.build()
    timeline, stage = simulate(graph), stages_of(graph)
    with pytest.raises(AssertionError):
        assert timeline.start_ps[stage == 1].min() >= timeline.end_ps[stage == 0].max()

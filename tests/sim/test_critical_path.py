"""The critical path: from the last task back to the beginning, without a gap."""

from itertools import pairwise

from hypothesis import HealthCheck, given, settings

from hwprofiles.errors import DeadlockError
from sim import heap_engine
from sim.critical_path import critical_path
from sim.graphbuilder import GraphBuilder
from tests.strategies import any_graphs


def path(builder: GraphBuilder) -> list[int]:
    graph = builder.build()
    return critical_path(graph, heap_engine.simulate(graph))


def test_an_empty_graph_has_an_empty_path():
    assert path(GraphBuilder()) == []


def test_the_path_goes_back_through_a_dependency_a_lane_and_a_slot():
    b = GraphBuilder()
    lane, other, register = b.lane(0), b.lane(0), b.register(0, 1, 8)
    first = b.compute([lane], 2, writes=[register])
    reader = b.compute([other], 5, reads=[(first, register)])
    by_slot = b.compute([lane], 1, writes=[register])
    by_lane = b.compute([lane], 4, priority=1, after=[first])
    # The slot returns at 7. Until 6 the lane does something else.
    assert path(b) == [by_slot, reader, first]
    late = b.compute([lane], 3, priority=2, after=[by_lane])
    # Now the lane is held until 9.
    assert path(b) == [by_slot, late, by_lane, first]


def test_a_dependency_goes_before_a_lane_and_a_lane_before_a_slot():
    b = GraphBuilder()
    lanes, register = [b.lane(0) for _ in range(3)], b.register(0, 1, 8)
    b.compute([lanes[0]], 5, writes=[register])
    b.compute([lanes[1]], 5)
    dependency = b.compute([lanes[2]], 5)
    b.compute([lanes[1]], 1, after=[dependency], writes=[register])
    assert path(b) == [3, dependency]
    b = GraphBuilder()
    lanes, register = [b.lane(0) for _ in range(2)], b.register(0, 1, 8)
    b.compute([lanes[0]], 5, writes=[register])
    lane_holder = b.compute([lanes[1]], 5)
    b.compute([lanes[1]], 1, writes=[register])
    assert path(b) == [2, lane_holder]


def test_of_equal_reasons_the_lowest_id_is_taken():
    b = GraphBuilder()
    both = [b.compute([b.lane(0)], 5), b.compute([b.lane(0)], 5)]
    b.compute([b.lane(0)], 1, after=both)
    assert path(b) == [2, 0]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(any_graphs())
def test_the_path_reaches_the_beginning_and_its_durations_add_up_to_the_makespan(graph):
    try:
        timeline = heap_engine.simulate(graph)
    except DeadlockError:
        return
    tasks = critical_path(graph, timeline)
    start, end = timeline.start_ps, timeline.end_ps
    assert end[tasks[0]] == timeline.makespan_ps
    assert start[tasks[-1]] == 0
    assert all(start[later] == end[earlier] for later, earlier in pairwise(tasks))
    assert sum(int(end[t] - start[t]) for t in tasks) == timeline.makespan_ps
    assert len(set(tasks)) == len(tasks)


def test_the_path_of_a_timeline_with_gaps_ends_at_the_first_gap():
    b = GraphBuilder()
    lane = b.lane(0)
    tasks = [b.compute([lane], 2) for _ in range(3)]
    graph = b.build()
    timeline = heap_engine.simulate(graph)
    timeline.start_ps[1] += 1
    assert critical_path(graph, timeline) == [tasks[2], tasks[1]]

"""The engines: equal to each other on random graphs, and right on graphs worked out by hand."""

import pytest
from hypothesis import HealthCheck, given, settings

from hwprofiles.errors import DeadlockError, PlanError
from hwprofiles.units import to_ps
from sim import array_engine, heap_engine, simpy_engine
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline
from tests.oracles import validate_timeline
from tests.strategies import any_graphs
from tests.uncompiled import PlainEngine

PLAIN = PlainEngine()
"""The array engine run by Python."""
ENGINES = pytest.mark.parametrize(
    "engine",
    [simpy_engine, heap_engine, array_engine, PLAIN],
    ids=["simpy", "heap", "array", "plain array"],
)
BYTE_PER_PS = 1e12


def outcome(engine, graph: TaskGraph) -> Timeline | str:
    try:
        return engine.simulate(graph)
    except DeadlockError as error:
        return str(error)


def spans(engine, builder: GraphBuilder) -> list[tuple[int, int]]:
    timeline = engine.simulate(builder.build())
    return list(zip(timeline.start_ps.tolist(), timeline.end_ps.tolist(), strict=True))


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=any_graphs())
def test_all_engines_give_the_same_valid_times_or_the_same_deadlock(graph):
    simpy = outcome(simpy_engine, graph)
    if isinstance(simpy, Timeline):
        validate_timeline(graph, simpy)
    for engine in (heap_engine, array_engine, PLAIN):
        found = outcome(engine, graph)
        if isinstance(found, str) or isinstance(simpy, str):
            assert found == simpy
        else:
            assert found.equals(simpy), (engine, found, simpy)


@ENGINES
def test_an_empty_graph_takes_no_time(engine):
    assert engine.simulate(GraphBuilder().build()).makespan_ps == 0


@ENGINES
def test_two_flows_share_one_link_and_the_rest_of_the_longer_one_has_it_alone(engine):
    b = GraphBuilder()
    route = b.path([b.link(BYTE_PER_PS)])
    b.transfer([b.lane(0)], 0, payload_bytes=10, route=route)
    b.transfer([b.lane(0)], 0, payload_bytes=20, route=route)
    # Half a byte per ps each: 10 B take 20 ps; then 10 B are left at 1 byte per ps.
    assert spans(engine, b) == [(0, 20), (0, 30)]


def chained_flows() -> GraphBuilder:
    """Return three flows: the second shares a link with each of the others, they share none."""
    b = GraphBuilder()
    narrow, wide = b.link(BYTE_PER_PS), b.link(2 * BYTE_PER_PS)
    for links, payload in [([narrow], 10), ([narrow, wide], 30), ([wide], 60)]:
        b.transfer([b.lane(0)], 0, payload_bytes=payload, route=b.path(links))
    return b


@ENGINES
def test_a_flow_changes_its_rate_when_one_ends_with_which_it_shares_no_link(engine):
    # Rates 1/2, 1/2, 3/2 until 20 ps, where 0, 20 and 30 B are left. Then the second flow rises to
    # 1 and the third falls to 1 until 40 ps, where 0 and 10 B are left; those go at 2 in 5 ps.
    assert spans(engine, chained_flows()) == [(0, 20), (0, 40), (0, 45)]


@ENGINES
def test_a_cap_leaves_the_rest_of_the_link_to_the_other_flow(engine):
    b = GraphBuilder()
    link = b.link(BYTE_PER_PS)
    b.transfer([b.lane(0)], 0, payload_bytes=10, route=b.path([link], 0.25e12))
    b.transfer([b.lane(0)], 0, payload_bytes=30, route=b.path([link]))
    assert spans(engine, b) == [(0, 40), (0, 40)]


@ENGINES
def test_an_overhead_holds_the_lane_and_no_bandwidth(engine):
    b = GraphBuilder()
    route, lane = b.path([b.link(BYTE_PER_PS)]), b.lane(0)
    b.transfer([lane], 10, payload_bytes=5, route=route)
    b.transfer([b.lane(0)], 0, payload_bytes=10, route=route)
    b.compute([lane], 1)
    assert spans(engine, b) == [(0, 15), (0, 10), (15, 16)]


@ENGINES
@pytest.mark.parametrize("payload", [1, 12_345, 999_999_937])
@pytest.mark.parametrize("bandwidth", [1e12, 25e9, 12.5e9 / 3])
def test_a_lone_transfer_takes_what_the_link_law_says(engine, payload, bandwidth):
    b = GraphBuilder()
    b.transfer([b.lane(0)], 7, payload_bytes=payload, route=b.path([b.link(bandwidth)]))
    assert spans(engine, b) == [(0, 7 + to_ps(payload / bandwidth))]


@ENGINES
def test_a_transfer_of_no_bytes_is_only_its_overhead(engine):
    b = GraphBuilder()
    b.transfer([b.lane(0)], 4, payload_bytes=0, route=b.path([b.link(1.0)]))
    assert spans(engine, b) == [(0, 4)]


@ENGINES
def test_a_zero_length_chain_runs_in_one_instant_through_one_slot(engine):
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    task = b.compute([lane], 3)
    for _ in range(4):
        task = b.compute([lane], 0, after=[task], writes=[register])
    b.compute([lane], 2, after=[task])
    assert spans(engine, b) == [(0, 3), (3, 3), (3, 3), (3, 3), (3, 3), (3, 5)]


@ENGINES
def test_a_task_that_waits_for_a_second_lane_does_not_block_the_first(engine):
    b = GraphBuilder()
    left, right = b.lane(0), b.lane(0)
    b.compute([right], 10)
    b.compute([left, right], 1, priority=-1)
    b.compute([left], 4)
    b.compute([left], 4, priority=1)
    # At 0 the left lane picks first: it could take both lanes, and its priority is least.
    assert spans(engine, b) == [(1, 11), (0, 1), (1, 5), (5, 9)]
    b = GraphBuilder()
    left, right = b.lane(0), b.lane(0)
    b.compute([right], 10, priority=-2)
    gate = b.compute([b.lane(0)], 1)
    b.compute([left, right], 1, priority=-1, after=[gate])
    b.compute([left], 4, after=[gate])
    b.compute([left], 7, after=[gate])
    # From 1 to 10 the right lane is taken; the left one goes on meanwhile, without waiting for it.
    assert spans(engine, b) == [(0, 10), (0, 1), (12, 13), (1, 5), (5, 12)]


@ENGINES
def test_eligible_at_starts_anew_when_another_task_took_the_slot(engine):
    b = GraphBuilder()
    first, second, third = b.lane(0), b.lane(0), b.lane(0)
    register = b.register(0, 1, 8)
    b.compute([first], 4, writes=[register])
    b.compute([second], 10)
    loser = b.compute([second], 1, writes=[register])
    gate = b.compute([third], 2)
    winner = b.compute([second], 1, after=[gate])
    # The loser is eligible at 0, loses the slot at once and regains it at 4; the winner has been
    # eligible since 2 when the lane is freed at 10.
    found = spans(engine, b)
    assert found[winner] == (10, 11)
    assert found[loser] == (11, 12)


@ENGINES
def test_priority_goes_before_age_and_age_before_id(engine):
    b = GraphBuilder()
    lane, other = b.lane(0), b.lane(0)
    b.compute([lane], 10)
    gate = b.compute([other], 1)
    late = b.compute([other], 1, after=[gate])
    by_age = [b.compute([lane], 1, after=[late]), b.compute([lane], 1, after=[gate])]
    urgent = b.compute([lane], 1, priority=-1, after=[late])
    found = spans(engine, b)
    assert [found[t][0] for t in (urgent, by_age[1], by_age[0])] == [10, 11, 12]


@ENGINES
def test_a_slot_returns_when_the_last_reader_completes(engine):
    b = GraphBuilder()
    lanes = [b.lane(0) for _ in range(3)]
    register = b.register(0, 1, 8)
    item = b.compute([lanes[0]], 1, writes=[register])
    b.compute([lanes[1]], 3, reads=[(item, register)])
    b.compute([lanes[2]], 5, reads=[(item, register)])
    b.compute([lanes[0]], 1, writes=[register])
    assert spans(engine, b) == [(0, 1), (1, 4), (1, 6), (6, 7)]


@ENGINES
def test_a_task_that_writes_a_register_twice_takes_two_slots(engine):
    b = GraphBuilder()
    register = b.register(0, 2, 8)
    b.compute([b.lane(0)], 3, writes=[register])
    b.compute([b.lane(0)], 1, writes=[register, register])
    assert spans(engine, b) == [(0, 3), (3, 4)]


@ENGINES
def test_a_deadlock_names_what_each_task_waits_for(engine):
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    item = b.compute([lane], 1, writes=[register])
    blocked = b.compute([lane], 1, after=[item], writes=[register])
    b.compute([lane], 1, after=[blocked], reads=[(item, register)])
    with pytest.raises(DeadlockError) as raised:
        engine.simulate(b.build())
    assert str(raised.value) == (
        "2 of 3 tasks can never start: task 1 waits for a slot of register 0 (0 of 1 free, needs"
        " 1); task 2 waits for task 1; give the registers more slots or break the cycle of"
        " dependencies"
    )


@ENGINES
def test_a_deadlock_names_five_tasks_and_counts_the_others(engine):
    b = GraphBuilder()
    register = b.register(0, 0, 8)
    for _ in range(8):
        b.compute([b.lane(0)], 1, writes=[register])
    with pytest.raises(DeadlockError, match=r"task 4 waits .*; and 3 more; give"):
        engine.simulate(b.build())


@ENGINES
def test_a_step_beyond_64_bits_is_refused_in_one_sentence(engine):
    b = GraphBuilder()
    b.transfer([b.lane(0)], 0, payload_bytes=10**9, route=b.path([b.link(1.0)]))
    with pytest.raises(PlanError, match=r"would take 1e\+09 s"):
        engine.simulate(b.build())

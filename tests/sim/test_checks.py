"""Checks before a run: cycles are named, memory is counted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofiles.errors import DeadlockError, PlanError
from sim import checks, heap_engine
from sim.checks import (
    check_dependencies,
    check_graph,
    check_structure,
    peak_live_bytes,
    static_bytes,
    static_waste,
)
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph
from sim.timeline import Timeline
from tests.oracles import item_spans
from tests.strategies import any_graphs


def chain_of_three() -> TaskGraph:
    b = GraphBuilder()
    lane = b.lane(0)
    first = b.compute([lane], 1)
    second = b.compute([lane], 1, after=[first])
    b.compute([lane], 1, after=[second])
    return b.build()


def closed_chain() -> TaskGraph:
    """Return tasks 0 and 1 that wait for each other, and task 2 that waits for them."""
    dep_ptr, dep_idx = np.array([0, 1, 2, 3]), np.array([1, 0, 1])
    return replace(chain_of_three(), dep_ptr=dep_ptr, dep_idx=dep_idx)


def test_a_chain_passes_every_check():
    check_graph(chain_of_three())


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(any_graphs())
def test_a_built_graph_is_well_formed_and_has_no_dependency_cycle(graph):
    check_structure(graph)
    check_dependencies(graph)


def test_a_dependency_cycle_is_named_without_the_tasks_that_only_wait_for_it():
    with pytest.raises(DeadlockError) as raised:
        check_dependencies(closed_chain(), label=lambda task: "abc"[task])
    assert str(raised.value) == (
        "dependency cycle of 2 tasks: a waits for b; b waits for a; remove one of these"
        " dependencies"
    )


def test_a_task_that_waits_for_itself_is_a_cycle_of_one():
    graph = replace(chain_of_three(), dep_ptr=np.array([0, 0, 1, 1]), dep_idx=np.array([1]))
    with pytest.raises(DeadlockError, match="cycle of 1 tasks: task 1 waits for task 1"):
        check_dependencies(graph)


def test_the_engine_finds_no_event_left_in_a_dependency_cycle():
    with pytest.raises(DeadlockError, match="3 of 3 tasks can never start: task 0 waits for task"):
        heap_engine.simulate(closed_chain())


def test_a_graph_that_is_not_well_formed_is_refused_before_its_cycles_are_sought():
    with pytest.raises(PlanError, match="not well formed: task 0 needs a duration >= 0"):
        check_graph(replace(closed_chain(), duration_ps=np.array([-1, 1, 1])))


def two_devices() -> tuple[TaskGraph, Timeline]:
    b = GraphBuilder()
    lanes = [b.lane(0), b.lane(1), b.lane(2)]
    sent, landed = b.register(0, 3, 100), b.register(1, 2, 10)
    first = b.compute([lanes[0]], 4, writes=[sent])
    second = b.compute([lanes[0]], 4, writes=[sent])
    copy = b.compute([lanes[1]], 2, reads=[(first, sent)], writes=[landed])
    b.compute([lanes[1]], 6, reads=[(copy, landed), (second, sent)])
    graph = b.build()
    return graph, heap_engine.simulate(graph)


def test_live_memory_is_counted_from_the_start_of_the_writer_to_the_end_of_the_last_reader():
    graph, timeline = two_devices()
    # Device 0: the first item lives 0-6, the second 4-14, so two of three slots at 4-6.
    assert peak_live_bytes(graph, timeline).tolist() == [200, 10, 0]
    assert static_bytes(graph).tolist() == [300, 20, 0]
    assert static_waste(graph, timeline).tolist() == [1.5, 2.0, 1.0]


def test_a_register_that_nobody_writes_is_all_waste():
    b = GraphBuilder()
    b.register(0, 1, 8)
    b.compute([b.lane(0)], 1)
    graph = b.build()
    assert static_waste(graph, heap_engine.simulate(graph)).tolist() == [float("inf")]


def test_a_slot_handed_over_at_one_instant_is_counted_once():
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 2, 8)
    for duration in (3, 3, 0, 0):
        b.compute([lane], duration, writes=[register])
    graph = b.build()
    # At 6 two items without extent may lie side by side, and no more than two slots.
    assert peak_live_bytes(graph, heap_engine.simulate(graph)).tolist() == [16]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 5) | st.integers(2**60, 2**62), st.integers(0, 2)
        )
    )
)
def test_changes_come_by_device_then_time_then_turn_however_late(changes):
    columns = np.array(changes, dtype=np.int64).reshape(-1, 3).T
    assert [changes[i] for i in checks._in_order(*columns)] == sorted(changes)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(any_graphs())
def test_peak_live_memory_is_what_counting_at_every_instant_gives(graph):
    try:
        timeline = heap_engine.simulate(graph)
    except DeadlockError:
        return
    items = item_spans(graph, timeline)
    device, size = graph.register_device, graph.register_bytes
    peak, static = peak_live_bytes(graph, timeline), static_bytes(graph)
    for d in range(len(peak)):
        here = [(size[r], start, end) for r, start, end in items if device[r] == d]
        live = [
            sum(b for b, s, e in here if s <= t and (t < e or s == e == t))
            for t in {start for _, start, _ in here}
        ]
        assert peak[d] == min(max(live, default=0), static[d])

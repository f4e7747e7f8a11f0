"""The central scheduler: free, it is the reference engine; else every decision is paid for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import DeadlockError
from sim import central, simpy_engine
from sim.central import Scheduler
from sim.graphbuilder import GraphBuilder
from sim.timeline import Timeline
from tests.strategies import any_graphs

FREE = Scheduler(dispatch_ps=0)


def outcome(simulate):
    try:
        return simulate()
    except DeadlockError as error:
        return str(error)


@given(graph=any_graphs())
@settings(max_examples=60, deadline=None)
def test_a_scheduler_that_costs_nothing_is_the_reference_engine(graph):
    actors = outcome(lambda: simpy_engine.simulate(graph))
    found = outcome(lambda: central.simulate(graph, FREE))
    if isinstance(actors, Timeline):
        assert found.equals(actors)
    else:
        assert found == actors


def chain(durations):
    builder = GraphBuilder()
    lanes = [builder.lane(0), builder.lane(1)]
    for task, duration in enumerate(durations):
        builder.compute([lanes[task % 2]], duration, after=[task - 1] if task else [])
    return builder.build()


COSTS = st.integers(0, 50)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), COSTS, COSTS, COSTS)
@settings(max_examples=50, deadline=None)
def test_on_a_chain_every_decision_and_every_order_adds_up(durations, dispatch, more, message):
    graph = chain(durations)
    cheap, dear = (
        central.simulate(graph, Scheduler(dispatch_ps=d, message_ps=message)).makespan_ps
        for d in (dispatch, dispatch + more)
    )
    assert cheap == sum(durations) + len(durations) * (dispatch + message)
    assert dear == cheap + len(durations) * more


def check_queue(graph, scheduler, makespan_ps):
    """One desk decides on all tasks, one after the other."""
    assert makespan_ps >= scheduler.busy_ps(graph)


@given(graph=any_graphs(), dispatch=st.integers(1, 1000))
@settings(max_examples=25, deadline=None)
def test_no_run_is_shorter_than_all_decisions(graph, dispatch):
    scheduler = Scheduler(dispatch_ps=dispatch)
    found = outcome(lambda: central.simulate(graph, scheduler))
    if isinstance(found, Timeline):
        check_queue(graph, scheduler, found.makespan_ps)


def side_by_side(tasks):
    builder = GraphBuilder()
    for device in range(tasks):
        builder.compute([builder.lane(device)], 10)
    return builder.build()


def test_tasks_side_by_side_wait_for_the_one_desk():
    found = central.simulate(side_by_side(3), Scheduler(dispatch_ps=4, message_ps=1))
    assert found.end_ps.tolist() == [15, 19, 23]


def test_a_scheduler_with_a_desk_for_everybody_is_seen():
    """The oracle of the queue, shown to fail."""
    graph, scheduler = side_by_side(8), Scheduler(dispatch_ps=10)

    def launcher(env):
        def launch(task):
            yield env.timeout(scheduler.dispatch_ps)

        return launch

    wrong = simpy_engine.simulate(graph, launcher=launcher)
    with pytest.raises(AssertionError):
        check_queue(graph, scheduler, wrong.makespan_ps)

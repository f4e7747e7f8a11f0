"""Credit cycles: found exactly where the run would stop, and named."""

import pytest
from hypothesis import HealthCheck, given, settings

from hwprofiles.errors import DeadlockError
from sim import heap_engine
from sim.checks import check_credits, check_graph
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph
from tests.strategies import flow_graphs, pipeline_graphs, task_graphs


def deadlocks(function, graph: TaskGraph) -> bool:
    try:
        function(graph)
    except DeadlockError:
        return True
    return False


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(task_graphs(ordered_writers=True))
def test_where_writers_are_ordered_the_check_refuses_exactly_what_would_deadlock(graph):
    assert deadlocks(check_credits, graph) == deadlocks(heap_engine.simulate, graph)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(pipeline_graphs() | flow_graphs())
def test_pipelines_and_flows_pass(graph):
    check_graph(graph)


def accumulation(slots: int) -> TaskGraph:
    """Return an op fired three times into one register, and an update that reads all three."""
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, slots, 8)
    fired: list[int] = []
    for _ in range(3):
        fired.append(b.compute([lane], 1, after=fired[-1:], writes=[register]))
    b.compute([lane], 1, reads=[(task, register) for task in fired])
    return b.build()


def test_enough_slots_pass():
    check_credits(accumulation(slots=3))


def test_a_credit_cycle_is_named_with_its_tasks_and_its_register():
    names = ["grad 0", "grad 1", "grad 2", "update"]
    with pytest.raises(DeadlockError) as raised:
        check_credits(accumulation(slots=2), names.__getitem__, lambda register: f"reg{register}")
    assert str(raised.value) == (
        "credit cycle of 2 tasks: grad 2 waits for a slot of reg0 (0 of 2 free), held until"
        " update has read it; update waits for grad 2; give the registers more slots, or let"
        " their readers depend on less"
    )


def test_a_task_that_takes_more_slots_than_there_are_is_named():
    b = GraphBuilder()
    register = b.register(0, 1, 8)
    b.compute([b.lane(0)], 1, writes=[register, register])
    with pytest.raises(DeadlockError, match=r"never start: register \d+ has too few slots"):
        check_credits(b.build())


def test_tasks_that_take_no_slot_do_not_wait_behind_those_that_do():
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    first = b.compute([lane], 1, writes=[register])
    b.compute([lane], 1, writes=[register])
    b.compute([lane], 1, reads=[(first, register)])
    check_credits(b.build())

"""What a task surely waits for, against all that it waits for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.lower import lower
from sim import barriers
from sim.barriers import awaited_prefixes
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph
from tests.planner.test_inputs import fed


@st.composite
def steps_of_tasks(draw) -> TaskGraph:
    """Steps of a few tasks, whose first ones wait for some or all ends of the step before."""
    b = GraphBuilder()
    lane, begun, before = b.lane(0), 0, ()
    for _ in range(draw(st.integers(1, 4))):
        first = b.tasks
        for _ in range(draw(st.integers(1, 5))):
            own = draw(st.sets(st.integers(begun, b.tasks - 1))) if b.tasks > begun else set()
            all_ends = draw(st.booleans())
            b.compute([lane], 1, after=[*own, *(before if all_ends else before[1:])])
        before, begun = b.unawaited(first), first
    return b.build()


def unsure(graph: TaskGraph) -> list[int]:
    """Return the tasks that do not wait for all that is said of them."""
    known: list[set[int]] = []
    for task in range(graph.tasks):
        deps = graph.row("dep", task)
        known.append(set(deps).union(*(known[d] for d in deps)))
    prefixes = awaited_prefixes(graph).tolist()
    return [t for t, prefix in enumerate(prefixes) if not known[t].issuperset(range(prefix))]


@given(graph=steps_of_tasks())
@settings(max_examples=200, deadline=None)
def test_every_task_waits_for_all_that_is_said_of_it(graph):
    assert not unsure(graph)


def test_what_waits_for_one_of_two_ends_waits_for_neither_prefix():
    b = GraphBuilder()
    lane = b.lane(0)
    ends = [b.compute([lane], 1), b.compute([lane], 1)]
    b.compute([lane], 1, after=ends[1:])
    after_both = b.compute([lane], 1, after=ends)
    b.compute([lane], 1, after=[after_both])
    assert awaited_prefixes(b.build()).tolist() == [0, 0, 0, 2, 2]


@pytest.mark.parametrize("overlap", [False, True])
def test_a_step_waits_for_the_whole_step_before(overlap):
    c = fed(workers=2, batch=8, decode_workers=2, overlap=overlap)
    program = lower(c.model, c.training, c.plan, c.cluster, c.books, 3)
    prefixes = awaited_prefixes(program.graph)
    first, second, _ = program.ends
    for begin, end in ((first, second), (second, len(program.tasks))):
        for task in range(begin, end):
            if program.tasks[task].phase not in ("read", "decode", "load"):
                assert prefixes[task] >= begin


def test_the_comparison_shows_ends_that_are_missed(monkeypatch):
    b = GraphBuilder()
    lane = b.lane(0)
    ends = [b.compute([lane], 1), b.compute([lane], 1)]
    b.compute([lane], 1, after=ends[1:])
    graph = b.build()
    monkeypatch.setattr(barriers, "_named_prefixes", lambda graph, _: graph.dep_ptr[1:] * 2)
    assert unsure(graph) == [2]

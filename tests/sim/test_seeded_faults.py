"""Faults on purpose: each oracle is seen to fail, and so is the comparison of the engines."""

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, settings

from hwprofiles.errors import DeadlockError
from sim import simpy_engine
from sim.heap_engine import Run
from sim.taskgraph import GraphBuilder, TaskGraph
from tests.oracles import validate_timeline
from tests.strategies import any_graphs


class SkipsTheTransitiveShare(Run):
    """Solves only the flows on the touched links, not those that are joined to them."""

    def component(self, links):
        return set().union(*(self.flows_on[link] for link in links))


class ChoosesByIdBeforeAge(Run):
    """Breaks the tie of equal priorities by task id alone."""

    def entry(self, priority, eligible_ps, task):
        return (priority, 0, task)


class ReturnsSlotsWhenReadersStart(Run):
    """Gives the slot back one task too early."""

    def __init__(self, graph):
        self.early: list[int] = []
        super().__init__(graph)

    def start(self, task, queue):
        super().start(task, queue)
        self.early.append(task)

    def start_eligible(self):
        super().start_eligible()
        while self.early:
            readers, self.early = self.early, []
            for task in readers:
                super().finish_reads(task)
            super().start_eligible()

    def finish_reads(self, task):
        pass


class DropsADependency(Run):
    """Forgets the last dependency of the last task that has one."""

    def __init__(self, graph):
        super().__init__(graph)
        task = max((t for t, missing in enumerate(self.missing) if missing), default=None)
        if task is not None:
            self.missing[task] -= 1
            self.children[graph.row("dep", task)[-1]].remove(task)


def chained_flows() -> TaskGraph:
    b = GraphBuilder()
    narrow, wide = b.link(1e12), b.link(2e12)
    for links, payload in [([narrow], 10), ([narrow, wide], 30), ([wide], 60)]:
        b.transfer([b.lane(0)], 0, payload_bytes=payload, route=b.path(links))
    return b.build()


def older_task_with_the_higher_id() -> TaskGraph:
    b = GraphBuilder()
    lane, other = b.lane(0), b.lane(0)
    b.compute([lane], 10)
    gate = b.compute([other], 5)
    b.compute([lane], 1, after=[gate])
    b.compute([lane], 1)
    return b.build()


def writer_behind_a_slow_reader() -> TaskGraph:
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    item = b.compute([lane], 1, writes=[register])
    b.compute([b.lane(0)], 9, reads=[(item, register)])
    b.compute([lane], 1, writes=[register])
    return b.build()


def two_in_a_row() -> TaskGraph:
    b = GraphBuilder()
    b.compute([b.lane(0)], 2, after=[b.compute([b.lane(0)], 3)])
    return b.build()


FAULTS = [
    (SkipsTheTransitiveShare, chained_flows(), "bytes have arrived"),
    (ChoosesByIdBeforeAge, older_task_with_the_higher_id(), "goes before"),
    (ReturnsSlotsWhenReadersStart, writer_behind_a_slow_reader(), "holds 2 items in 1 slots"),
    (DropsADependency, two_in_a_row(), "starts before 0 ends"),
]
NAMES = [fault.__name__ for fault, _, _ in FAULTS]


@pytest.mark.parametrize(("fault", "graph", "claim"), FAULTS, ids=NAMES)
def test_an_oracle_catches_the_fault_and_passes_the_engine_without_it(fault, graph, claim):
    validate_timeline(graph, Run(graph).timeline())
    with pytest.raises(AssertionError, match=claim):
        validate_timeline(graph, fault(graph).timeline())


def _caught(fault, graph: TaskGraph) -> bool:
    """Whether the fault makes the engines differ on this graph."""
    try:
        expected = simpy_engine.simulate(graph)
    except DeadlockError:
        return False
    try:
        return not fault(graph).timeline().equals(expected)
    except DeadlockError:
        return True


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS], ids=NAMES)
def test_comparing_the_engines_on_a_thousand_random_graphs_catches_the_fault(fault):
    find(
        any_graphs(),
        lambda graph: _caught(fault, graph),
        settings=settings(
            max_examples=1000,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
        random=Random(0),
    )

"""Faults on purpose: each oracle is seen to fail, and so is the comparison of the engines."""

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, settings

from hwprofiles.errors import DeadlockError
from sim import simpy_engine
from sim.graphbuilder import GraphBuilder
from sim.heap_engine import Run
from sim.taskgraph import TaskGraph
from tests.oracles import validate_timeline
from tests.strategies import any_graphs
from tests.uncompiled import PlainEngine


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


def links_without_their_neighbours(plain: PlainEngine) -> None:
    """As ``SkipsTheTransitiveShare``."""

    def component(s, link):
        flows, links, crossing = 0, 1, s.first_on[link]
        s.found_links[0] = link
        while crossing != -1:
            s.found_flows[flows] = crossing >> s.hop_bits
            for other in range(
                s.found_flows[flows] << s.hop_bits, (s.found_flows[flows] + 1) << s.hop_bits
            ):
                if s.crossed[other] == -1:
                    break
                if s.crossed[other] not in s.found_links[:links]:
                    s.found_links[links] = s.crossed[other]
                    links += 1
            flows += 1
            crossing = s.next_on[crossing]
        return flows, links

    plain.replace("component", component)


def id_before_age(plain: PlainEngine) -> None:
    """As ``ChoosesByIdBeforeAge``."""
    plain.replace(
        "goes_before",
        lambda s, one, other: (s.priority[one], one) < (s.priority[other], other),
    )


def slots_back_when_readers_start(plain: PlainEngine) -> None:
    """As ``ReturnsSlotsWhenReadersStart``."""
    start, finish_reads, pick_touched = (
        plain.parts["lanes"].start,
        plain.parts["run"].finish_reads,
        plain.parts["lanes"].pick_touched,
    )
    early: list[int] = []

    def start_and_note(s, queue):
        early.append(s.head[queue])
        start(s, queue)

    def pick_and_finish(s):
        pick_touched(s)
        while early:
            finish_reads(s, early.pop())
            pick_touched(s)

    plain.replace("start", start_and_note)
    plain.replace("pick_touched", pick_and_finish)
    plain.replace("finish_reads", lambda s, task: None)


def a_dependency_less(plain: PlainEngine) -> None:
    """As ``DropsADependency``."""
    children = plain.parts["layout"].children

    def forget_one(dep_ptr, dep_idx, start_ps):
        last = len(dep_idx)
        if last:
            dep_ptr, dep_idx = dep_ptr.copy(), dep_idx[:-1]
            dep_ptr[dep_ptr == last] -= 1
        return children(dep_ptr, dep_idx, start_ps)

    plain.replace("children", forget_one)


def of_heap(fault):
    return lambda graph: fault(graph).timeline()


def of_array(fault):
    plain = PlainEngine()
    fault(plain)
    return plain.simulate


PAIRS = [
    ((SkipsTheTransitiveShare, links_without_their_neighbours), chained_flows(), "have arrived"),
    ((ChoosesByIdBeforeAge, id_before_age), older_task_with_the_higher_id(), "goes before"),
    (
        (ReturnsSlotsWhenReadersStart, slots_back_when_readers_start),
        writer_behind_a_slow_reader(),
        "holds 2 items in 1 slots",
    ),
    ((DropsADependency, a_dependency_less), two_in_a_row(), "starts before 0 ends"),
]
FAULTS = [
    pytest.param(engine(fault), graph, claim, id=f"{engine.__name__}-{fault.__name__}")
    for faults, graph, claim in PAIRS
    for engine, fault in zip((of_heap, of_array), faults, strict=True)
]


@pytest.mark.parametrize(("faulty", "graph", "claim"), FAULTS)
def test_an_oracle_catches_the_fault_and_passes_the_engines_without_it(faulty, graph, claim):
    validate_timeline(graph, Run(graph).timeline())
    validate_timeline(graph, PlainEngine().simulate(graph))
    with pytest.raises(AssertionError, match=claim):
        validate_timeline(graph, faulty(graph))


def _caught(faulty, graph: TaskGraph) -> bool:
    """Whether the fault makes the engines differ on this graph."""
    try:
        expected = simpy_engine.simulate(graph)
    except DeadlockError:
        return False
    try:
        return not faulty(graph).equals(expected)
    except DeadlockError:
        return True


@pytest.mark.parametrize(("faulty", "graph", "claim"), FAULTS)
def test_comparing_the_engines_on_a_thousand_random_graphs_catches_the_fault(faulty, graph, claim):
    find(
        any_graphs(),
        lambda graph: _caught(faulty, graph),
        settings=settings(
            max_examples=1000,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
        random=Random(0),
    )

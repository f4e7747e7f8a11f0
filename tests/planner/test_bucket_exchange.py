"""The exchange of a bucket on any group of workers: ranks of the algorithm are workers of it."""

from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings

from planner import lower
from planner.algorithms import algorithm
from planner.awaited import TaskSets
from planner.bucket_exchange import Exchanges, exchange_buckets
from planner.collectives.base import traffic
from planner.landings import distinct_names
from planner.lowering import Lowering
from planner.piece_prices import exchange_prices, transfer_prices
from planner.plan import Training
from planner.program import Program, TransferTask
from sim.checks import check_graph
from sim.heap_engine import simulate
from tests.planner_cases import (
    ALGORITHMS,
    Case,
    candidates,
    case,
    cases,
    cluster_of,
    device,
    link,
    machine_of,
    tiny_convnet,
)

GROUPS = [(3, 1), (2, 0, 3), (1, 3, 0, 2)]


def grouped(name: str, group: tuple[int, ...]):
    """Lower one exchange of ``group`` among four workers whose wires all differ."""
    wires = [link(bandwidth=1e9 * (1 + i)) for i in range(12)]
    c = case(machine=machine_of(cluster_of(device(), 4, "mesh", wires)), workers=4, batch=8)
    work = Lowering(
        model=c.model, training=c.training, plan=c.plan, cluster=c.cluster, books=c.books
    )
    done = exchange_buckets(work, name, (0,), group, TaskSets.of([()] * len(group)))
    transfer_ps = transfer_prices(c.plan.placement, c.cluster, c.training.dtype)
    prices = exchange_prices(c.plan, work.calls, transfer_ps, c.cluster, c.books)
    return work, done, prices.on(group)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_tasks_are_those_of_the_workers_of_the_group(name, group):
    work, done, prices = grouped(name, group)
    elements = work.buckets[0].elements
    moved = traffic(algorithm(name).emit, elements, len(group))
    sends = [(t.src, t.dst) for t in work.tasks if isinstance(t, TransferTask)]
    expected = [(group[s], group[d]) for (s, d, _), n in moved.sends.items() for _ in range(n)]
    assert sorted(sends) == sorted(expected)
    adds = [t.rank for t in work.tasks if not isinstance(t, TransferTask)]
    assert sorted(adds) == sorted(group[r] for (r, _), n in moved.adds.items() for _ in range(n))
    for rank, last in enumerate(done):
        assert all(group[rank] in work.tasks[task].ranks for task in last)
    graph = work.program().graph
    check_graph(graph)
    assert simulate(graph).makespan_ps >= algorithm(name).cost_ps(elements, prices)


def test_another_group_takes_other_wires():
    times = {group: simulate(grouped("star", group)[0].program().graph) for group in GROUPS}
    assert len({found.makespan_ps for found in times.values()}) == len(GROUPS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_on_two_workers_an_algorithm_is_the_program_of_one_that_is_tried(name):
    """So the search loses nothing by trying only distinct ones."""
    c = case(workers=2, batch=8, algorithm=name, bucket_bytes=100, overlap=True)
    tried = [replace(c, plan=replace(c.plan, algorithm=kept)) for kept in distinct_names(2)]
    hashes = [other.lower().graph.sha256() for other in tried]
    assert hashes.count(c.lower().graph.sha256()) == 1


def test_all_algorithms_differ_on_four_workers_and_one_that_is_asked_for_is_tried():
    assert distinct_names(4) == list(ALGORITHMS)
    asked = candidates(tiny_convnet(), Training(batch=8), 2, {"algorithm": "tree"})
    assert {plan.workers for plan in asked} == {2}


def lowered_bucket_by_bucket(c: Case) -> Program:
    def apart(work):
        return [(number,) for number in range(len(work.buckets))]

    with patch.object(lower, "alike_buckets", apart):
        return c.lower()


@given(c=cases(rounds=(1, 2)))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_buckets_at_once_are_what_one_after_the_other_gives(c):
    at_once, apart = c.lower(), lowered_bucket_by_bucket(c)
    assert at_once.graph.sha256() == apart.graph.sha256()
    assert at_once.tasks == apart.tasks


def test_the_comparison_shows_a_bucket_whose_tasks_are_counted_wrong():
    c = case(workers=2, bucket_bytes=64)
    apart, real = lowered_bucket_by_bucket(c), Exchanges.of

    def closer(*asked, between):
        return real(*asked, between=between - 1)

    with patch.object(Exchanges, "of", closer):
        at_once = c.lower()
    assert at_once.graph.sha256() != apart.graph.sha256()

"""A bucket written at once is what its algorithm emits task by task, number by number."""

from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings

from planner.bucket_block import BucketBlock
from planner.program import Program
from sim.checks import check_graph
from tests.planner_cases import ALGORITHMS, NUMBERED, Case, case, cases, small_machine


def lowered_task_by_task(c: Case) -> Program:
    with patch.object(BucketBlock, "of", lambda *_: None):
        return c.lower()


def check_same(at_once: Program, in_turn: Program) -> None:
    assert at_once.graph.sha256() == in_turn.graph.sha256()
    assert at_once.tasks == in_turn.tasks
    for rank in range(at_once.ranks):
        assert at_once.of_rank(rank) == in_turn.of_rank(rank)


@given(c=cases())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_bucket_at_once_is_what_is_emitted(c):
    check_same(c.lower(), lowered_task_by_task(c))


@pytest.mark.parametrize("name", [*ALGORITHMS, *NUMBERED])
def test_all_algorithms_on_many_workers_with_buckets_that_land_on_one_another(name):
    fields = {"bucket_bytes": 100, "overlap": True, "landing_slots": 2}
    c = case(machine=small_machine(6), workers=6, batch=12, algorithm=name, **fields)
    check_graph(c.lower().graph)
    check_same(c.lower(), lowered_task_by_task(c))


def test_the_comparison_shows_a_move_that_waits_for_too_little():
    c = case(workers=3, batch=12)
    real = BucketBlock._after

    def short(self, base, ready):
        return real(self, base, [tasks[:-1] for tasks in ready])

    with patch.object(BucketBlock, "_after", short), pytest.raises(AssertionError):
        check_same(c.lower(), lowered_task_by_task(c))

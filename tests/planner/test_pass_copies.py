"""Passes of many steps, copied among workers alike, are what lowering each of them gives."""

from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner import lower
from planner.pass_copies import Alike, alike_workers
from planner.program import Program, deed_of
from tests.planner.test_inputs import fed, fed_cases
from tests.planner_cases import Case, cases, passes_one_by_one

RANDOM = {"deadline": None, "suppress_health_check": list(HealthCheck)}


class OneByOne:
    """All workers, of whom nobody is like another."""

    def __init__(self, work, feeds):
        self.append = lambda: passes_one_by_one(work, feeds)


def lowered(c: Case, steps: int) -> Program:
    return lower.lower(c.model, c.training, c.plan, c.cluster, c.books, steps)


def lowered_one_by_one(c: Case, steps: int) -> Program:
    with patch.object(lower, "alike_workers", lambda *given: [OneByOne(*given)]):
        return lowered(c, steps)


def check_same(c: Case, steps: int) -> None:
    copied, plain = lowered(c, steps), lowered_one_by_one(c, steps)
    assert copied.graph.sha256() == plain.graph.sha256()
    assert copied.tasks == plain.tasks
    tasks = [*plain.tasks]
    assert [copied.deed(at) for at in range(len(tasks))] == [*map(deed_of, tasks)]
    for rank in range(copied.ranks):
        own = [at for at, task in enumerate(tasks) if rank in task.ranks]
        assert copied.tasks.of_rank(rank) == own
    computed = {at: (rank, call) for rank, call, some in copied.tasks.calls() for at in some}
    assert computed == {at: (rank, call) for rank, call, some in plain.tasks.calls() for at in some}


@given(c=fed_cases(), steps=st.integers(1, 6))
@settings(max_examples=15, **RANDOM)
def test_copies_of_fed_steps_are_what_lowering_each_worker_gives(c, steps):
    check_same(c, steps)


@given(c=cases(), steps=st.integers(2, 3))
@settings(max_examples=10, **RANDOM)
def test_copies_of_steps_without_a_pipeline_are_what_lowering_each_worker_gives(c, steps):
    check_same(c, steps)


def test_workers_without_a_core_to_decode_are_not_like_those_with_one():
    c = fed(workers=4, batch=8, decode_workers=2, decode_cores=6)
    with patch.object(lower, "alike_workers", wraps=alike_workers) as found:
        check_same(c, 3)
    groups = alike_workers(*found.call_args.args)
    assert [[*group.ranks] for group in groups] == [[0, 1], [2, 3]]


def test_the_comparison_shows_copies_that_wait_for_another_worker_in_the_step_before():
    c = fed(workers=3, batch=12, decode_workers=2)
    plain = lowered_one_by_one(c, 3)
    real = Alike._deps

    def unmoved(group, block):
        waits = block.rows["dep"].ids
        return np.where(waits < block.first, waits, real(group, block))

    with patch.object(Alike, "_deps", unmoved):
        assert lowered(c, 3).graph.sha256() != plain.graph.sha256()

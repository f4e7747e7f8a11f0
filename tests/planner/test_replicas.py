"""Copied passes are what lowering every worker gives, number by number."""

from unittest.mock import patch

from hypothesis import HealthCheck, given, settings

from planner import lower, repeats
from planner.program import Program
from planner.replicas import Template
from tests.planner_cases import Case, case, cases


def lowered_one_by_one(c: Case) -> Program:
    with (
        patch.object(Template, "fits", lambda *_: False),
        patch.object(lower, "LOWERED", 10**9),
    ):
        return c.lower()


def check_same(copied: Program, plain: Program) -> None:
    assert copied.graph.sha256() == plain.graph.sha256()
    assert copied.tasks == plain.tasks
    assert copied.registers == plain.registers


@given(c=cases())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_copies_are_what_lowering_each_worker_gives(c):
    check_same(c.lower(), lowered_one_by_one(c))


@given(c=cases(rounds=(4, 5, 7)))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_microbatches_after_the_third_are_what_lowering_each_gives(c):
    check_same(c.lower(), lowered_one_by_one(c))


def test_the_comparison_shows_a_microbatch_that_is_not_like_the_third():
    c = case(workers=2, batch=40, microbatch=4)
    plain = lowered_one_by_one(c)
    with patch.object(lower, "LOWERED", 2), patch.object(repeats, "LOWERED", 2):
        copied = c.lower()
    assert copied.graph.sha256() != plain.graph.sha256()


def test_the_comparison_shows_an_actor_that_is_one_off():
    c = case(workers=3, batch=12)
    real = Template.copies
    plain = lowered_one_by_one(c)

    def shifted(self, work, ranks):
        work.actor(ranks[0], "nobody")
        return real(self, work, ranks)

    with patch.object(Template, "copies", shifted):
        copied = c.lower()
    assert copied.graph.sha256() != plain.graph.sha256()

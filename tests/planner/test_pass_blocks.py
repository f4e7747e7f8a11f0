"""Copied passes are what lowering every worker gives, number by number."""

from dataclasses import replace
from itertools import product
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings

from planner import lower, pass_blocks
from planner.program import Program, deed_of
from tests.planner_cases import Case, case, cases, passes_one_by_one, tiny_convnet


def lowered_one_by_one(c: Case) -> Program:
    with patch.object(lower, "append_passes", lambda work: passes_one_by_one(work, {})):
        return c.lower()


def check_same(copied: Program, plain: Program) -> None:
    assert copied.graph.sha256() == plain.graph.sha256()
    assert copied.tasks == plain.tasks
    assert copied.registers == plain.registers
    assert [copied.deed(at) for at in range(len(plain.tasks))] == [*map(deed_of, plain.tasks)]


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
    with patch.object(pass_blocks, "LOWERED", 2):
        copied = c.lower()
    assert copied.graph.sha256() != plain.graph.sha256()


def test_the_comparison_shows_an_actor_that_is_one_off():
    c = case(workers=3, batch=12)
    real = lower.append_passes
    plain = lowered_one_by_one(c)

    def shifted(work):
        work.actor(0, "nobody")
        return real(work)

    with patch.object(lower, "append_passes", shifted):
        copied = c.lower()
    assert copied.graph.sha256() != plain.graph.sha256()


def test_what_is_lowered_for_one_plan_serves_all_like_it():
    """Microbatch, bucket and workers may differ; frames, and up to three the rounds, may not."""
    model = replace(tiny_convnet())  # one that knows nothing yet
    with patch.object(pass_blocks, "_lowered", wraps=pass_blocks._lowered) as lowered:
        for microbatch, workers, rounds, frames in product((1, 4), (1, 3), (1, 2, 3, 6), (1, 2)):
            c = case(
                model,
                batch=workers * microbatch * rounds,
                workers=workers,
                microbatch=microbatch,
                activation_slots=frames,
                overlap=workers > 1,
                bucket_bytes=1 << 8 * microbatch,
            )
            check_same(c.lower(), lowered_one_by_one(c))
    kinds = {1: 1, 2: 2, 3: 2}  # by rounds: one frame, and two where two may be under way
    assert lowered.call_count == sum(kinds.values())

"""The stages of a search are told as one count, whose pace tells the time left of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreplan.console import Pace
from foreplan.course import SHARES, Course
from foreplan.machines import load_machine
from planner.model import load_model
from planner.plan import Training
from planner.search import search

STEPS = 20


def told() -> list[tuple[str, int, int]]:
    found = []
    search(
        load_model("lenet-5"),
        Training(batch=64),
        load_machine("v100-quad"),
        budget=6,
        progress=lambda stage, done, total, best: found.append((stage, done, total)),
    )
    return found


def check_whole(counts: list[tuple[int, int]]) -> None:
    """Before anything is simulated nothing is taken back, and the total stands."""
    assert {total for _, total in counts} == {sum(SHARES.values())}
    assert [done for done, _ in counts] == sorted(done for done, _ in counts)


def test_a_search_tells_one_count_until_it_simulates_and_then_its_own():
    seen, course = told(), Course()
    begun = next(i for i, (stage, *_) in enumerate(seen) if stage == "simulating")
    assert {stage for stage, *_ in seen[:begun]} == {"pricing", "bounding"}
    check_whole([course.counts(*some) for some in seen[:begun]])
    with pytest.raises(AssertionError):  # the oracle, shown to fail on what the stages tell
        check_whole([(done, total) for _, done, total in seen[:begun]])
    for stage, done, total in seen[begun:]:
        course.counts(stage, done, total)
        assert course.counts("bounding", 1, 9) == course.last
        assert stage != "simulating" or course.last == (done, total)


def check_half_time(factors, count) -> None:
    """Check what is told from half time on of stages that take ``factors`` of their share."""
    lengths_s = [share * factor for share, factor in zip(SHARES.values(), factors, strict=True)]
    moments, now_s = [], 0.0
    for stage, length_s in zip(SHARES, lengths_s, strict=True):
        moments += [(now_s + length_s * i / STEPS, stage, i) for i in range(STEPS + 1)]
        now_s += length_s
    at = 0.0
    pace = Pace(lambda: at)
    for at, stage, done in moments:
        left_s = pace.left_s(*count(stage, done, STEPS))
        if left_s and at >= now_s / 2 and now_s - at > 1e-6:
            assert left_s <= 2 * (now_s - at) + 1e-6
            assert now_s - at <= 2 * left_s + 1e-6


@given(st.lists(st.floats(0.75, 1.33), min_size=3, max_size=3))
def test_at_half_time_the_time_left_is_told_within_twice(factors):
    """However the stages share the time, as far as a third from what is taken for it."""
    check_half_time(factors, Course().counts)


def test_counts_of_a_stage_alone_tell_too_little():
    with pytest.raises(AssertionError):
        check_half_time((1, 1, 1), lambda stage, done, total: (done, total))

"""Rivals: the best of every other choice, held against a simulation of all candidates."""

from functools import cache

import pytest

import foreplan
from planner.contest import Contest
from planner.explain import explain
from planner.flips import knobs
from planner.model import load_model
from planner.plan import Training
from planner.predict import predict
from planner.rivals import _choices, rivals
from planner.space import SLOTS


@cache
def small_file():
    """A plan file of few candidates: one microbatch a worker, buckets of one size."""
    held = {"overlap": False, "bucket_bytes": 65536, "microbatch": 16}
    slots = dict.fromkeys(SLOTS, 1)
    return foreplan.plan("mlp", "v100-quad", Training(batch=64), top=2, fixed=held | slots)


def contest(most_tasks: int = 10**9) -> Contest:
    return Contest.of(load_model("mlp"), small_file(), most_tasks)


@cache
def simulated() -> dict[str, list[float]]:
    """Times of all candidates by choice, from the simulation that predicts plans."""
    file, found = small_file(), {}
    machine, candidates = file.to_machine(), contest().plans
    assert 10 < len(candidates) < 80
    for plan in candidates:
        for choice in _choices(file.plans[0].plan, plan):
            prediction, _, _ = predict(load_model("mlp"), file.training, plan, machine)
            found.setdefault(choice, []).append(prediction.step_s)
    return found


def check(found):
    """Nothing is faster than the rivals say, and those that are called the best are."""
    assert {rival.choice for rival in found} == simulated().keys()
    for rival in found:
        best_s = min(simulated()[rival.choice])
        assert rival.least_s <= best_s
        if rival.simulated:
            assert rival.step_s in simulated()[rival.choice]
        if rival.simulated and rival.least_s == rival.step_s:
            assert rival.step_s == best_s
    assert [r.step_s for r in found] == sorted(r.step_s for r in found)


@pytest.mark.parametrize("most_tasks", [10**9, 1])
def test_no_candidate_with_another_choice_is_faster_than_told(most_tasks):
    asked = contest(most_tasks)
    found = rivals(asked, 0, asked.floor_ps(asked.machine))
    check(found)
    assert any(rival.simulated for rival in found) or most_tasks == 1
    assert len(asked.lowered) <= len(found)


def test_closed_forms_that_are_too_long_are_seen():
    asked = contest()
    with pytest.raises(AssertionError):
        check(rivals(asked, 0, asked.floor_ps(asked.machine) * 3))


def test_a_step_answers_to_a_figure_as_a_prediction_does():
    file = small_file()
    found = explain(file, flips=False)
    known = {knob.name: knob for knob in knobs(["intra", "inter"])}
    assert found.responses[0].knob == "device.speed"
    for one in found.responses:
        for factor, step_s in ((0.5, one.half_s), (2.0, one.double_s)):
            machine = known[one.knob].machine(file, factor)
            again, *_ = predict(load_model("mlp"), file.training, file.plans[0].plan, machine)
            assert step_s == again.step_s
    speed = found.responses[0]
    assert speed.double_s < found.step_s < speed.half_s

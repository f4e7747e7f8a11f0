"""What an execution is judged by: drift, spread, void runs, the split, the claim."""

from dataclasses import replace

import numpy as np
import pytest

import foreplan
from hwprofiles.calibration import Calibration
from hwprofiles.errors import BackendUnavailable, CheckFailed
from planner.plan import Training
from planner.records import write_record
from runtime.drift import refuse_drift
from runtime.execute import (
    ATTEMPTS,
    Options,
    check,
    drift,
    measure,
    spread,
    void_reasons,
)
from runtime.outcome import execution

pytestmark = pytest.mark.slow

STEPS = 18
"""With two to warm up, twenty: progress is told every twenty."""


@pytest.fixture(scope="module")
def plans(plan_file, dp):
    return plan_file("lenet-5", Training(batch=48), dp(2, 12, "ring", 100_000, overlap=True))


@pytest.fixture(scope="module")
def progress():
    return []


@pytest.fixture(scope="module")
def measured(plans, home, progress):
    options = Options(
        train=home / "data" / "digits-train.rec",
        test=home / "data" / "digits-test.rec",
        cores=(0, 1),
        steps=STEPS,
        warmup=2,
        traced=5,
        prove=True,
    )

    def note(done, total):
        progress.append((done, total))

    return measure(plans, 0, options, executions=2, progress=note)


def test_a_plan_of_a_model_without_kernels_is_refused_before_anything_runs(
    plan_file, dp, tmp_path, monkeypatch
):
    path = tmp_path / "plan.json"
    write_record(path, plan_file("mlp", Training(batch=2), dp(1, 2)))
    monkeypatch.setattr("runtime.kernels._runs", lambda call: call.kernel != "tanh.forward")
    with pytest.raises(BackendUnavailable, match=r"^model 'mlp': .* no kernel for tanh\.forward"):
        foreplan.execute(path, data=tmp_path)


def test_drift_is_the_largest_change_of_a_mean_over_ranks():
    before = {"a": (1.0, 3.0), "b": (4.0,), "gone": (1.0,)}
    assert drift(before, {"a": (2.0, 2.0), "b": (4.0,)}) == 0
    assert drift(before, {"a": (2.0, 2.2), "b": (3.0,)}) == pytest.approx(0.25)
    assert drift(before, {"a": (2.4, 2.4), "b": (4.1,)}) == pytest.approx(0.2)
    assert drift({}, {"a": (1.0,)}) == 0
    assert drift(before, {}) == 0


def test_spread_is_the_largest_difference_between_ranks():
    assert spread({"a": (1.0, 1.0), "b": (2.0, 3.0, 2.5)}) == pytest.approx(0.5)
    assert spread({"a": (1.0,)}) == 0
    assert spread({}) == 0


def with_sentinels(run, before, after):
    return replace(run, sentinels_before_s={"s": before}, sentinels_after_s={"s": after})


@pytest.mark.parametrize(
    ("before", "after", "gate", "reasons"),
    [
        ((1.0, 1.0), (1.049, 1.049), 1.0, []),
        ((1.0, 1.0), (1.051, 1.051), 1.0, ["sentinels moved 5.1% (at most 5%)"]),
        ((1.0, 1.0), (0.94, 0.94), 1.0, ["sentinels moved 6.0% (at most 5%)"]),
        ((1.0, 1.0), (1.14, 1.14), 3.0, []),
        ((1.0, 1.0), (1.16, 1.16), 3.0, ["sentinels moved 16.0% (at most 15%)"]),
        ((1.0, 1.11), (1.0, 1.11), 1.0, ["ranks differ 11.0% (at most 10%)"]),
        ((1.0, 1.0), (0.95, 1.05), 1.0, ["ranks differ 10.5% (at most 10%)"]),
        ((1.0, 1.2), (1.2, 1.0), 3.0, []),
        ((1.0, 1.2), (1.5, 1.5), 1.0, ["sentinels moved 36.4%", "ranks differ 20.0%"]),
    ],
)
def test_a_run_is_void_when_the_machine_moved(before, after, gate, reasons, measured):
    run = measured.executions[0]
    runs = [with_sentinels(run, before, (9.0, 1.0)), with_sentinels(run, (5.0, 1.0), after)]
    found = void_reasons(runs, gate)
    assert len(found) == len(reasons)
    assert all(got.startswith(reason) for got, reason in zip(found, reasons, strict=True))


def test_an_execution_is_its_median_and_spread():
    answer = {
        "seconds": [1.0, 2.0, 3.0, 4.0, 10.0],
        "sentinels_before": {"s": [1.0]},
        "sentinels_after": {"s": [2.0]},
        "losses": [2.3, 2.2],
        "test_loss": 1.5,
        "accuracy": 0.5,
        "training_s": 20.0,
        "arena_bytes": [64, 128],
        "arena_intact": True,
        "parameters_sha256": "ab",
    }
    run = execution(answer)
    assert (run.step_s, run.step_iqr_s, run.steps) == (3.0, 2.0, 5)
    assert run.step_p90_s == pytest.approx(7.6)
    assert run.arena_bytes == (64, 128)
    assert (run.sentinels_before_s, run.sentinels_after_s) == ({"s": (1.0,)}, {"s": (2.0,)})


def test_the_step_is_the_median_of_the_executions(measured, plans):
    assert len(measured.executions) == 2
    assert measured.step_s == pytest.approx(np.median([r.step_s for r in measured.executions]))
    assert measured.ranked == plans.plans[0]
    predicted = measured.ranked.prediction.step_s
    assert measured.error_frac == pytest.approx(predicted / measured.step_s - 1)
    assert all(run.steps == STEPS and run.arena_intact for run in measured.executions)
    assert all(len(run.losses) == 2 + STEPS for run in measured.executions)


def test_the_arenas_were_proved(measured):
    proof = measured.arena
    assert proof.steps > 1
    pairs = zip(proof.unpacked_bytes, measured.executions[0].arena_bytes, strict=True)
    assert all(apart > 1.2 * packed for apart, packed in pairs)
    assert all(0 < held < 1 << 20 for held in proof.beside_bytes)


def test_both_executions_train_the_same(measured):
    first, second = measured.executions
    assert first.parameters_sha256 == second.parameters_sha256
    assert first.losses == second.losses
    assert first.test_accuracy == second.test_accuracy


def test_the_split_adds_up_from_predicted_to_measured(measured):
    split = measured.split
    assert split.predicted_s == pytest.approx(measured.ranked.prediction.step_s)
    assert split.measured_s == measured.step_s
    costs, interference = split.solo_s - split.predicted_s, split.traced_s - split.solo_s
    structure = split.measured_s - split.traced_s
    assert split.predicted_s + costs + interference + structure == pytest.approx(measured.step_s)
    assert min(split.solo_s, split.traced_s) > 0


def test_ops_have_all_firings_and_times(measured):
    assert sum(op.firings for op in measured.ops) == measured.ranked.prediction.tasks
    assert all(min(op.predicted_s, op.solo_s, op.traced_s) > 0 for op in measured.ops)
    busy = sum(op.firings * op.predicted_s for op in measured.ops)
    trace = measured.trace
    spans = zip(trace.predicted_start_s, trace.predicted_end_s, strict=True)
    assert busy == pytest.approx(sum(b - a for a, b in spans))


def test_the_trace_has_every_task_and_phases_fill_the_step(measured):
    trace = measured.trace
    tasks = measured.ranked.prediction.tasks
    for name in ("task", "ranks", "phase", "measured_start_s", "measured_end_s"):
        assert len(getattr(trace, name)) == tasks
    assert min(trace.measured_start_s) == 0
    assert sum(measured.phases_s.values()) == pytest.approx(max(trace.measured_end_s))
    assert max(trace.predicted_end_s) == pytest.approx(measured.ranked.prediction.step_s)


def test_progress_goes_on_over_the_executions(measured, progress):
    assert progress == [(20, 40), (40, 40)]


def again(measured, *sentinels, error=0.0):
    """Measurements one after the other, each with its sentinels, all off by ``error``."""
    runs = iter(sentinels)

    def measure_again():
        before, after = next(runs)
        run = with_sentinels(measured.executions[0], before, after)
        return replace(measured, executions=(run,), error_frac=error)

    return measure_again


STILL = ((1.0, 1.0), (1.0, 1.0))
MOVED = ((1.0, 1.0), (1.3, 1.3))


@pytest.mark.parametrize(
    ("error", "gate", "passed"),
    [
        (0.59, 1.0, True),
        (-0.59, 1.0, True),
        (0.61, 1.0, False),
        (-0.61, 1.0, False),
        (1.79, 3.0, True),
        (1.81, 3.0, False),
    ],
)
def test_the_claim_is_tested_in_both_directions(error, gate, passed, measured):
    """A prediction of grade ``datasheet`` claims 60 %."""
    assert measured.ranked.prediction.grade == "datasheet"
    verdict = check(again(measured, STILL, error=error), gate=gate, say=print).check
    assert verdict.passed is passed
    assert (verdict.valid, verdict.void_reasons) == (True, ())
    assert (verdict.claim_frac, verdict.gate, verdict.error_frac) == (0.6, gate, error)


def test_a_void_run_is_repeated_and_said(measured):
    said = []
    verdict = check(again(measured, MOVED, STILL), gate=1.0, say=said.append).check
    assert verdict.passed
    assert verdict.void_reasons == ("attempt 1: sentinels moved 30.0% (at most 5%)",)
    assert said == ["void run, attempt 1: sentinels moved 30.0% (at most 5%)"]


def test_three_void_runs_are_no_pass_whatever_the_error(measured):
    verdict = check(again(measured, *[MOVED] * ATTEMPTS), gate=1.0, say=lambda text: None).check
    assert (verdict.valid, verdict.passed) == (False, False)
    assert len(verdict.void_reasons) == ATTEMPTS


def test_costs_of_a_machine_that_has_drifted_are_refused():
    calibration = Calibration(sentinels={"s": (1.0, 1.0)})
    refuse_drift(calibration.sentinels, {"s": (1.09, 1.1)})
    with pytest.raises(CheckFailed, match=r"moved 11\.0% since .*10%.*`foreplan hw calibrate`"):
        refuse_drift(calibration.sentinels, {"s": (1.11, 1.11)})
    with pytest.raises(CheckFailed):
        refuse_drift(calibration.sentinels, {"s": (0.8, 0.8)})

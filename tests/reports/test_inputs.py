"""The section about the input, and the command that gives a plan its pipeline."""

from dataclasses import replace

import pytest

from planner.measurement import InputRun, StageRun
from planner.model import load_model
from planner.plan import Source, Training
from planner.predict import predict
from planner.records import RankedPlan
from reports.case import Case
from reports.evidence import timeline
from reports.inputs import pipeline
from reports.rows import command_lines
from tests.reports.cases import measurement, piped_case, plan_file


@pytest.fixture(scope="module")
def fed():
    """The best plan with a pipeline, and its run."""
    plans = plan_file()
    plan = replace(plans.plans[0].plan, decode_workers=2, prefetch=3, input_slots=2)
    training = replace(plans.training, source=Source(throttle_bytes_per_s=2e6, cold=True))
    prediction, _, _ = predict(load_model(plans.model), training, plan, plans.to_machine())
    ranked = RankedPlan(label=plan.label, plan=plan, prediction=prediction)
    stages = {"read": StageRun(firings=9, each_s=1e-3, busy_frac=0.875)}
    run = InputRun(stall_s=(1e-3, 3e-3), read_bytes=5000, device_bytes=4000, stages=stages)
    measured = measurement()
    last = replace(measured.executions[-1], input=run)
    measured = replace(measured, training=training, ranked=ranked, executions=(last,))
    return Case(plans=replace(plans, training=training, plans=(ranked,)), measured=measured)


def test_the_stages_are_shown_predicted_and_measured(fed):
    (section,) = pipeline((fed,))
    (found,) = section.tables
    assert [row[0].text for row in found.rows] == ["read", "decode", "copy", "compute"]
    assert found.rows[0][-1].text == "87.5 %"
    assert section.text[-1].startswith("In the last execution a worker spent 2 ms of a step")
    assert "5 kB were read from the file, 4 kB of them" in section.text[-1]


def test_the_commands_make_the_pipeline_again(fed):
    assert (
        "foreplan input plan.json --decode-workers 2 --prefetch 3 --throttle 2000000B/s --cold"
        " -o plan.json"
    ) in command_lines(fed)
    assert not any("--source" in line for line in command_lines(fed))


def test_beside_a_plan_with_one_a_plan_without_says_so(fed):
    alone = Case(plans=plan_file(), name="alone")
    block, _ = pipeline((alone, replace(fed, name="fed")))
    assert block.text == ("Each step loads its own records (phase load).",)
    assert pipeline((alone,)) == ()
    assert alone.plans.training == Training(batch=64)


def test_a_step_with_one_is_no_faster_than_its_closed_form_and_bound(fed):
    for case in (fed, piped_case()):  # the reader has most work, or compute
        found = case.subject.prediction
        assert found.bound_s <= found.closed_form_s <= found.step_s


def test_of_a_plan_with_one_the_single_step_is_told_from_the_pace_of_many(fed):
    (block,) = timeline((replace(fed, measured=None),))
    assert "longer than the predicted step, which is the pace of many" in block.text[-1]

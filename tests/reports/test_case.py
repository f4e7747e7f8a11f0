"""Which measurement goes with which plan file, and the names that tell plans apart."""

from dataclasses import replace

import pytest

from hwprofiles.errors import RecordError
from planner.plan import Training
from reports.case import Case, layout, named, pair
from tests.reports.cases import comparison, measurement, plan_file


def test_a_measurement_goes_with_the_file_that_holds_the_plan_that_ran():
    star, tree, searched = comparison()
    assert searched.measured is measurement()
    assert (star.measured, tree.measured) == (None, None)
    again = pair([c.plans for c in (searched, star)], [measurement()])
    assert [case.measured is None for case in again] == [False, True]


def test_a_plan_file_with_two_measurements_is_two_cases():
    faster = replace(measurement(), step_s=measurement().step_s / 2)
    found = pair([plan_file()], [measurement(), faster])
    assert [case.measured.step_s for case in found] == [measurement().step_s, faster.step_s]
    assert len({case.name for case in found}) == 2


@pytest.mark.parametrize("change", [{"model": "mlp"}, {"training": Training(batch=128)}])
def test_a_measurement_of_another_question_is_refused(change):
    other = replace(measurement(), **change)
    with pytest.raises(RecordError, match=r"m\.json: expected a run of lenet-5.*give the plan"):
        pair([plan_file()], [other], ["m.json"])
    with pytest.raises(RecordError, match=r"got.*give the plan file"):
        Case(plans=plan_file(), measured=other)


def test_one_case_needs_no_name():
    assert [case.name for case in named([Case(plans=plan_file())])] == [""]


def test_names_are_what_differs_and_no_more():
    star, tree, searched = comparison()
    assert (star.name, tree.name) == ("star", "tree")
    elsewhere = replace(plan_file(), cluster="elsewhere")
    names = [case.name for case in named([searched, Case(plans=elsewhere)])]
    assert names == ["v100-quad", "elsewhere"]


def test_the_same_file_twice_is_numbered():
    names = [case.name for case in named([Case(plans=plan_file())] * 2)]
    assert names == ["1", "2"]


def test_a_layout_reads_as_words():
    plan = plan_file().plans[0].plan
    alone = replace(plan, workers=1, algorithm="none", placement=(0,), microbatch=64)
    assert layout(alone) == "1 worker, microbatch 64, no exchange"
    two = replace(plan, workers=2, algorithm="star", microbatch=32, overlap=True)
    assert layout(two) == "2 workers, microbatch 32, star exchange overlapped"

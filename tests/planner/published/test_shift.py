"""A run of one's own moves its family towards itself, and no other family by a bit."""

from dataclasses import replace
from math import exp, log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreplan.machines import shifted_machine
from hwprofiles.efficiency import constants, family_of
from hwprofiles.errors import RecordError
from planner.measurement import Measurement
from planner.predict import predict
from planner.published.cases import express
from planner.published.measured import LOCAL_FAMILY, read_shifts
from planner.published.predict import predicted_s
from planner.published.rows import SMALL, read_rows
from planner.published.shift import case_family, row_shifts, shift_of, shifted
from planner.published.spread import Spread, deviation, shipped
from planner.records import read_record
from tests.planner.test_records import measured_machine
from tests.planner_cases import case

ROWS = {row.case_id: row for row in read_rows(SMALL)}
CASES = {name: express(row.told) for name, row in ROWS.items()}
HEAD = (
    "case_id,source,model,input_size,batch_per_device,precision,accelerator,n_devices,"
    "devices_per_node,framework,samples_per_s,throughput_unit\n"
)
MINE = "mine,me,ResNet-50,224x224,64,fp32,V100 16GB,1,1,PyTorch,{},images/s\n"
DEVIATIONS = st.floats(0.01, 1.0)


def spread(between, within):
    names = ("seen", "unseen")
    return Spread(
        interval={},
        between=dict.fromkeys(names, between),
        within=dict.fromkeys(names, within),
    )


@given(
    logs=st.lists(st.floats(-2, 2), min_size=1, max_size=9), between=DEVIATIONS, within=DEVIATIONS
)
def test_a_shift_goes_the_way_that_rows_say_and_never_past_it(logs, between, within):
    found = shift_of("f", logs, spread(between, within), seen=True)
    middle = sum(logs) / len(logs)
    assert found.log * middle >= 0
    assert abs(found.log) <= abs(middle) + 1e-12
    twice = shift_of("f", logs + logs, spread(between, within), seen=True)
    assert twice.weight >= found.weight


def test_the_weight_is_that_of_bayes_rule():
    """Against the posterior mean by its definition: precisions add up."""
    found = shift_of("f", [0.3, 0.1], spread(0.2, 0.1), seen=False)
    precision = 2 / 0.1**2
    assert found.log == pytest.approx(0.2 * precision / (precision + 1 / 0.2**2))


@pytest.mark.parametrize("name", list(ROWS)[:6])
@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_a_row_calibrated_on_itself_comes_nearer(name, factor):
    case = CASES[name]
    before_s = predicted_s(case, case.machine())
    told_s = factor * before_s
    found = shift_of(case_family(case), [log(told_s / before_s)], shipped(), seen=True)
    after_s = predicted_s(case, case.machine(shifted([found])))
    assert abs(log(after_s / told_s)) < abs(log(told_s / before_s))
    assert min(before_s, told_s) <= after_s <= max(before_s, told_s)


def test_other_families_stay_to_the_bit():
    name = next(iter(CASES))
    family = case_family(CASES[name])
    table = shifted([shift_of(family, [0.5], shipped(), seen=True)])
    moved = {
        case_family(case)
        for case in CASES.values()
        if predicted_s(case, case.machine(table)) != predicted_s(case, case.machine())
    }
    assert moved == {family}


def test_no_shift_is_the_shipped_constants_to_the_bit():
    case = next(iter(CASES.values()))
    none = {**constants(), "shifts": {case_family(case): 0.0}}
    assert predicted_s(case, case.machine(none)) == predicted_s(case, case.machine())


def test_a_row_from_a_file_shifts_its_family(tmp_path):
    path = tmp_path / "row.csv"
    path.write_text(HEAD + MINE.format(100), encoding="utf-8")
    (found,) = read_shifts(path)
    assert found.family == family_of("pytorch-containers", "volta")
    assert found.log == pytest.approx(found.told * found.weight)
    assert (found.rows, found.factor) == (1, exp(found.log))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("row.csv", "a,b\n1,2\n", "expected columns"),
        ("row.csv", HEAD, "expected at least one run, got none"),
        ("row.csv", HEAD + MINE.format(""), "row 'mine': expected samples_per_s or"),
        ("row.csv", HEAD + MINE.format("fast"), "line 2: samples_per_s: expected a number"),
        ("row.csv", HEAD + MINE.format(9).replace("V100 16GB", "abacus"), "accelerator 'abacus'"),
        ("run.json", "{}", "expected a measurement file, or a table of runs"),
        ("run.json", "[", "is not whole JSON"),
        ("none.json", None, "No such file"),
        ("none.csv", None, "No such file"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(name, text, said, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=said) as caught:
        read_shifts(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_two_families_shift_both(tmp_path):
    path = tmp_path / "rows.csv"
    other = MINE.replace("V100 16GB", "A100 40GB")
    path.write_text(HEAD + MINE.format(99) * 2 + other.format(300), encoding="utf-8")
    assert {s.family: s.rows for s in row_shifts(path)} == {
        "pytorch-containers on volta": 2,
        "pytorch-containers on ampere": 1,
    }


RUN = Path(__file__).parents[3] / "bench" / "results" / "lenet-5-2-workers.json"


def test_a_measurement_shifts_this_machine_alone():
    (found,) = read_shifts(RUN)
    measured = read_record(RUN, Measurement, "a measurement file")
    assert found.family == LOCAL_FAMILY
    assert found.told_factor == pytest.approx(1 / (1 + measured.error_frac))
    assert 0 < found.weight < 1


def test_a_shifted_machine_takes_longer_for_every_op_and_no_transfer():
    c, machine = case(algorithm="ring"), measured_machine()
    shift = replace(read_shifts(RUN)[0], log=log(2))
    slower = shifted_machine(machine, [shift])
    assert shifted_machine(machine, [replace(shift, family="another")]) is machine
    before, _, _ = predict(c.model, c.training, c.plan, machine)
    after, _, _ = predict(c.model, c.training, c.plan, slower)
    for phase in ("forward", "backward", "update"):
        assert after.phases_s[phase] == pytest.approx(2 * before.phases_s[phase], rel=1e-4)
    assert after.step_s < 2 * before.step_s


def test_a_run_elsewhere_is_refused(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(RUN.read_text("utf-8").replace('"cluster": "local"', '"cluster": "there"'))
    with pytest.raises(RecordError, match="expected a run on local, got one on 'there'"):
        read_shifts(path)


@given(st.lists(st.floats(-3, 3), min_size=5, max_size=40))
def test_a_deviation_holds_four_fifths(logs):
    reach = 1.2816 * deviation(logs)
    assert sum(abs(x) <= reach + 1e-12 for x in logs) >= 0.8 * len(logs)

"""Predicted beside measured: the parts add up, and shares are shares."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.measurement import Split
from reports.compare import (
    loss_rows,
    op_rows,
    phase_rows,
    sentinel_rows,
    split_parts,
    split_rows,
    whole_drift,
)
from tests.reports.cases import STRETCH, measurement, plan_file

step_times = st.floats(1e-6, 10.0)


@given(step_times, step_times, step_times, step_times)
def test_the_printed_parts_sum_exactly_to_the_printed_error(predicted, solo, traced, measured):
    split = Split(predicted_s=predicted, solo_s=solo, traced_s=traced, measured_s=measured)
    *_, last = rows = split_rows(split)
    changes = [row["change_ns"] for row in rows[1:-1]]
    assert rows[0]["step_ns"] + sum(changes) == last["step_ns"] == round(measured * 1e9)
    assert sum(changes) == last["change_ns"] == last["step_ns"] - round(predicted * 1e9)
    assert sum(row["points"] for row in rows[1:-1]) == last["points"]


def test_the_points_sum_to_the_error_as_it_is_printed():
    split = Split(
        predicted_s=2.249198781e-3, solo_s=2.328e-3, traced_s=2.998e-3, measured_s=3.37e-3
    )
    assert sum(part.points for part in split_parts(split)) == round(1000 * (2.249198781 / 3.37 - 1))


def test_parts_are_named_in_the_order_of_substitution():
    split = Split(predicted_s=1.0, solo_s=3.0, traced_s=6.0, measured_s=10.0)
    found = [(part.name, part.symbol, part.change_ns) for part in split_parts(split)]
    assert found == [
        ("op costs", "P1 - P0", 2 * 10**9),
        ("interference", "P2 - P1", 3 * 10**9),
        ("structure", "M - P2", 4 * 10**9),
    ]


def test_phases_end_with_their_sum():
    prediction = plan_file().plans[0].prediction
    *phases, whole = phase_rows(prediction, measurement())
    assert whole["predicted_s"] == pytest.approx(prediction.step_s, rel=1e-9)
    assert whole["measured_s"] == pytest.approx(sum(row["measured_s"] for row in phases))
    assert whole["error_frac"] == pytest.approx(1 / STRETCH - 1)


def test_phases_without_a_measurement_have_no_measured_side():
    rows = phase_rows(plan_file().plans[0].prediction, None)
    assert {row["measured_s"] for row in rows} == {row["error_frac"] for row in rows} == {None}


def test_shares_of_ops_sum_to_one_and_signatures_are_cut_at_their_shapes():
    rows = op_rows(measurement().ops)
    assert sum(row["share_frac"] for row in rows) == pytest.approx(1)
    row = next(row for row in rows if row["op"] == "conv2d.forward")
    assert " float32" in row["shapes"]
    assert " ; " in row["shapes"]
    assert op_rows(()) == []


def test_sentinels_show_their_change_and_the_spread_of_ranks():
    rows = sentinel_rows(measurement().executions)
    assert len(rows) == 4
    assert rows[0]["moved_frac"] == pytest.approx(0.02)
    assert rows[0]["spread_frac"] == pytest.approx(0.1)


def test_a_sentinel_that_was_not_timed_again_has_no_change():
    run = replace(measurement().executions[0], sentinels_after_s={})
    assert {row["moved_frac"] for row in sentinel_rows((run,))} == {None}


@pytest.mark.parametrize("steps", [0, 1, 5, 8, 210])
def test_losses_shown_start_with_the_first_and_end_with_the_last(steps):
    rows = loss_rows(tuple(float(step) for step in range(steps)))
    assert len(rows) == min(8, steps)
    assert [rows[i]["step"] for i in (0, -1) if rows] == [1, steps][: 2 * bool(steps)]


def test_the_drift_of_a_run_is_from_before_the_first_to_after_the_last_execution():
    first, last = measurement().executions
    name = next(iter(first.sentinels_before_s))
    later = replace(
        last, sentinels_after_s={name: tuple(1.5 * s for s in first.sentinels_before_s[name])}
    )
    assert whole_drift(replace(measurement(), executions=(first, later))) == pytest.approx(0.5)
    assert whole_drift(measurement()) == pytest.approx(0.02)

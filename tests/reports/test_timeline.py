"""Spans of a step: a transfer is on both of its ranks, and a replay is the trace's prediction."""

from dataclasses import replace

import pytest

from reports.timeline import busy_rows, end_s, replayed_steps, traced_steps
from tests.reports.cases import STRETCH, measurement, plan_file


def test_a_transfer_is_on_both_of_its_ranks():
    trace = measurement().trace
    spans = traced_steps(trace).predicted
    assert len(spans) == sum(len(ranks) for ranks in trace.ranks)
    assert {span.task for span in spans if "->" in span.task or "@" in span.task} == set()


def test_a_replay_is_the_predicted_side_of_the_trace():
    plans = plan_file()
    replayed = replayed_steps(plans, plans.plans[0])
    traced = traced_steps(measurement().trace)
    assert replayed.predicted == traced.predicted
    assert end_s(replayed.predicted) == pytest.approx(plans.plans[0].prediction.step_s)


def test_a_step_that_ends_at_another_instant_than_predicted_is_not_drawn():
    plans = plan_file()
    ranked = plans.plans[0]
    other = replace(
        ranked, prediction=replace(ranked.prediction, step_s=2 * ranked.prediction.step_s)
    )
    assert replayed_steps(plans, other) is None


def test_busy_time_is_by_rank_and_phase():
    rows = busy_rows(traced_steps(measurement().trace))
    workers = plan_file().plans[0].plan.workers
    assert {row["rank"] for row in rows} == set(range(workers))
    assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
    for row in rows:
        assert row["measured_s"] == pytest.approx(STRETCH * row["predicted_s"])

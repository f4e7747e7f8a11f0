"""Spans of a step: a transfer is on both of its ranks, and a replay is the trace's prediction."""

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.case import Case
from reports.replay import replay
from reports.spans import last_s, merged, steps, traced
from tests.reports.cases import STRETCH, measured_case, measurement, plan_file


def test_a_transfer_is_on_both_of_its_ranks():
    trace = measurement().trace
    spans = traced(trace).predicted
    assert len(spans) == sum(len(ranks) for ranks in trace.ranks)
    assert not spans["task"].str.contains("->|@").any()


def test_a_replay_is_the_predicted_side_of_the_trace():
    replayed = steps(Case(plans=plan_file()))
    from_trace = steps(measured_case())
    assert replayed.measured is None
    pd.testing.assert_frame_equal(replayed.predicted, from_trace.predicted)
    assert replayed.end_s == pytest.approx(plan_file().plans[0].prediction.step_s)


def test_a_step_of_another_graph_than_the_predicted_one_is_not_shown():
    plans = plan_file()
    ranked = plans.plans[0]
    other = replace(ranked, prediction=replace(ranked.prediction, graph_sha256="0" * 64))
    assert replay(plans, other) is None
    assert replay(replace(plans, model="no-such-model"), ranked) is None


def test_with_a_trace_a_step_of_other_costs_has_the_times_of_the_run():
    ran = measurement()
    slower = tuple(2 * s for s in ran.trace.predicted_end_s)
    trace = replace(ran.trace, predicted_end_s=slower)
    other = replace(ran.ranked, prediction=replace(ran.ranked.prediction, graph_sha256="0" * 64))
    found = replay(plan_file(), other, trace)
    assert found.predicted.makespan_s == pytest.approx(max(slower))
    assert found.measured.makespan_s == pytest.approx(max(ran.trace.measured_end_s))
    renamed = replace(trace, task=("other", *trace.task[1:]))
    assert replay(plan_file(), other, renamed) is None


def test_busy_time_of_a_trace_is_by_rank_and_phase_what_was_measured():
    found = steps(measured_case())
    predicted, measured = (
        (own["end_s"] - own["start_s"]).groupby([own["rank"], own["phase"]]).sum()
        for own in found.sides.values()
    )
    assert {rank for rank, _ in predicted.index} == set(range(found.ranks))
    assert measured.to_dict() == pytest.approx((STRETCH * predicted).to_dict())


spans = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 40), st.integers(0, 9)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(spans, st.integers(0, 3))
def test_joined_spans_cover_the_same_time_and_leave_only_wider_gaps(rows, gap):
    frame = pd.DataFrame(
        [(rank, phase, "t", start, start + length) for rank, phase, start, length in rows],
        columns=["rank", "phase", "task", "start_s", "end_s"],
    )
    joined = merged(frame, gap)
    assert last_s(joined) == last_s(frame)
    for key, own in joined.groupby(["rank", "phase"]):
        before = frame[(frame["rank"] == key[0]) & (frame["phase"] == key[1])]
        assert own["tasks"].sum() == len(before)
        assert (own["start_s"].to_numpy()[1:] > own["end_s"].to_numpy()[:-1] + gap).all()
        for span in before.itertuples():
            inside = (own["start_s"] <= span.start_s) & (own["end_s"] >= span.end_s)
            assert inside.any()

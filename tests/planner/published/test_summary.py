"""Summaries: figures of errors, order in sweeps, regret of choices, sources that weigh alike."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.published.assess import Assessed
from planner.published.summary import mean_of, summaries, summary


def row(predicted, published, **changes) -> Assessed:
    made = Assessed(
        case_id="a",
        source="s",
        table="cnn",
        predicted=predicted,
        published=published,
        error=predicted / published - 1 if predicted else None,
        interval_s=None,
        grade="fitted",
        layout_stated=True,
        assumed={},
        covered=predicted is not None,
        flagged=False,
        in_scope=True,
        reason="",
        workers=1,
        batch=1,
    )
    return replace(made, **changes)


def test_regret_is_what_the_picked_layout_loses():
    """The second is predicted fastest a sample; the others take two thirds of its time."""
    rows = [row(1.0, 1.0, batch=1), row(1.0, 3.0, batch=2), row(2.4, 4.0, batch=4)]
    assert summary(rows).regret == pytest.approx(1.5 / 1.0 - 1)
    assert summary([replace(r, workers=i + 1) for i, r in enumerate(rows)]).regret is None


def test_order_counts_pairs_that_differ():
    rows = [row(1.0, 1.0), row(2.0, 1.05), row(0.5, 2.0)]
    assert summary(rows).concordance == 0
    assert summary([row(1.0, 1.0), row(1.5, 2.0)]).concordance == 1


@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=30))
def test_sources_weigh_alike(predicted):
    many = [row(p, 1.0, source="many") for p in predicted]
    one = row(2.0, 1.0, source="one")
    found = summaries([*many, one])
    assert found["mean_of_sources"].median == pytest.approx((summary(many).median + 1.0) / 2)
    assert found["overall"].rows == len(predicted) + 1


def test_what_is_not_predicted_counts_against_coverage_alone():
    found = mean_of([summary([row(1.1, 1.0)]), summary([row(None, 1.0)])])
    assert found.coverage == 0.5
    assert found.median == pytest.approx(0.1)

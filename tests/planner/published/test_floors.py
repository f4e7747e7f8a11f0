"""The floors of published runs hold on a fixed subsample: 36 rows, drawn by the hash of their name.

The whole table holds them by ``foreplan validate TABLE.csv``; docs/accuracy.md has its figures.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from planner.published.assess import assess
from planner.published.rows import read_rows
from planner.published.summary import summaries

ROWS = read_rows(Path(__file__).with_name("subsample.csv"))


@pytest.fixture(scope="module")
def rows():
    return assess(ROWS)


def holds(figures):
    return (
        figures.coverage >= 0.90
        and figures.median <= 0.10
        and figures.mean <= 0.15
        and figures.p90 <= 0.33
    )


def test_the_floors_hold(rows):
    assert holds(summaries(rows)["overall"]), summaries(rows)["overall"]


def test_sources_that_weigh_alike_are_not_far_from_the_floors(rows):
    """Three rows a source: their median is nearer to their mean, and has its floor."""
    figures = summaries(rows)["mean_of_sources"]
    assert max(figures.median, figures.mean) <= 0.15
    assert figures.p90 <= 0.33


def test_sweeps_are_in_order(rows):
    assert summaries(rows)["overall"].concordance >= 0.9


def test_predictions_a_fifth_longer_would_break_a_floor(rows):
    longer = [
        replace(row, error=1.2 * (1 + row.error) - 1) for row in rows if row.error is not None
    ]
    assert not holds(summaries(longer)["overall"])

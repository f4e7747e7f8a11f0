"""The floors of published runs hold on a fixed subsample: 48 rows, drawn by the hash of their name.

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


@pytest.mark.parametrize("over", ["overall", "mean_of_sources"])
def test_the_floors_hold(rows, over):
    assert holds(summaries(rows)[over]), summaries(rows)[over]


def test_sweeps_are_in_order(rows):
    assert summaries(rows)["overall"].concordance >= 0.9


def test_predictions_a_fifth_longer_would_break_a_floor(rows):
    longer = [
        replace(row, error=1.2 * (1 + row.error) - 1) for row in rows if row.error is not None
    ]
    assert not holds(summaries(longer)["overall"])

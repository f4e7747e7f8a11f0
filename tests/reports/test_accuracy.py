"""The committed checks hold their claims, and the accuracy page says what they measured."""

import json
import tomllib
from pathlib import Path

import pytest

from planner.measurement import Measurement
from planner.published.record import PublishedRecord, constants_sha256
from planner.records import read_record
from reports.accuracy import accuracy_page
from reports.published_figure import published_png

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "bench" / "results"
FILES = sorted([*RESULTS.glob("*workers*.json"), *RESULTS.glob("input-*.json")])
CLAIMS = {"measured": 0.10, "fitted": 0.25}
"""Largest error of the median step, by grade of the prediction."""


def committed(path: Path) -> Measurement:
    return read_record(path, Measurement, "a measurement file")


def test_both_claims_are_committed():
    assert {committed(f).ranked.prediction.grade for f in FILES} == set(CLAIMS)


@pytest.mark.parametrize("path", FILES, ids=lambda f: f.stem)
def test_a_committed_check_is_valid_and_holds_its_claim(path):
    found = committed(path)
    assert found.check is not None
    assert found.check.valid
    assert found.check.gate == 1
    assert found.check.claim_frac == CLAIMS[found.ranked.prediction.grade]
    assert len(found.executions) == 5
    assert abs(found.error_frac) <= found.check.claim_frac
    predicted_s = found.ranked.prediction.step_s
    assert found.error_frac == pytest.approx(predicted_s / found.step_s - 1)


LEARNERS = [f for f in FILES if f.stem != "input-copy"]
"""A layer that is all but no work, so that copies are most of a step, learns little."""


@pytest.mark.parametrize("path", LEARNERS, ids=lambda f: f.stem)
def test_the_committed_runs_learned_the_digits_in_time(path):
    for execution in committed(path).executions:
        assert execution.test_accuracy is not None
        assert execution.test_accuracy > 0.95
        assert execution.training_s < 30


@pytest.fixture(scope="module")
def published():
    return read_record(RESULTS / "published.json", PublishedRecord, "a record of published rows")


@pytest.fixture(scope="module")
def why():
    return tomllib.loads((ROOT / "bench" / "residuals.toml").read_text("utf-8"))


def test_the_page_is_fresh(published, why):
    gpus = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("gpu-*.json"))]
    page = accuracy_page({f.name: committed(f) for f in FILES}, published, why, gpus)
    assert (ROOT / "docs" / "accuracy.md").read_text("utf-8") == page, (
        "run `make accuracy` or `make published`"
    )


def test_the_record_of_published_rows_is_of_the_shipped_constants(published):
    assert published.constants_sha256 == constants_sha256(), "run `make published`"


def test_the_whole_table_holds_the_floors(published):
    table = published.tables[0]
    assert table.overall.coverage >= 0.90
    for figures in (table.overall, table.mean_of_sources):
        assert figures.median <= 0.10
        assert figures.mean <= 0.15
        assert figures.p90 <= 0.33
        assert figures.concordance >= 0.9


def test_each_of_the_ten_largest_residuals_is_explained(published, why):
    rows = sorted(published.tables[0].rows, key=lambda row: -abs(row.error))[:10]
    assert {row.case_id for row in rows} <= why.keys()


def test_intervals_hold_the_rows_that_are_left_out(published):
    assert all(0.7 <= held <= 0.9 for held in published.held_frac)


def test_a_row_of_ones_own_brings_its_family_nearer(published):
    overall = published.given_back[-1]
    assert overall.source == "all"
    assert overall.after < overall.before
    assert overall.family_after < overall.family_before


def test_the_picture_of_published_rows_can_be_drawn(published):
    drawn = published_png(published)
    assert drawn.startswith(b"\x89PNG")
    shown = (ROOT / "docs" / "published.png").read_bytes()
    assert drawn[16:24] == shown[16:24], "another size: run `make published`"


def test_the_readme_tells_the_same_errors():
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in FILES:
        assert f"{committed(path).error_frac:+.1%}" in readme, path.name

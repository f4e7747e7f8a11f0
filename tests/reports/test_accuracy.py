"""The committed checks hold their claims, and the accuracy page says what they measured."""

from pathlib import Path

import pytest

from planner.measurement import Measurement
from planner.records import read_record
from reports.accuracy import accuracy_page

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


@pytest.mark.parametrize("path", FILES, ids=lambda f: f.stem)
def test_the_committed_runs_learned_the_digits_in_time(path):
    for execution in committed(path).executions:
        assert execution.test_accuracy is not None
        assert execution.test_accuracy > 0.95
        assert execution.training_s < 30


def test_the_page_is_fresh():
    page = accuracy_page({f.name: committed(f) for f in FILES})
    assert (ROOT / "docs" / "accuracy.md").read_text("utf-8") == page, "run `make accuracy`"


def test_the_readme_tells_the_same_errors():
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in FILES:
        assert f"{committed(path).error_frac:+.1%}" in readme, path.name

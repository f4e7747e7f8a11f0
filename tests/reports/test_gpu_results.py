"""What `make gpu-check` found on GPUs holds its claims, and its verdicts are those of its rows."""

import importlib
import json
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "bench" / "results").glob("gpu-*.json"))
MEASURED, FITTED, SPEED = 0.08, 0.20, 0.8
"""Largest median error from measured ops and from curves of other models; least speed."""

pytestmark = pytest.mark.parametrize("path", FILES, ids=lambda f: f.stem)


def rows(path):
    return json.loads(path.read_text("utf-8"))["rows"]


def errors(path, name):
    return [abs(row[name]) for row in rows(path) if name in row]


def test_steps_are_predicted_from_measured_ops(path):
    assert len(errors(path, "from_ops_error")) == len(rows(path)) > 0
    assert median(errors(path, "from_ops_error")) <= MEASURED


def test_steps_are_predicted_from_curves_of_other_models(path):
    found = errors(path, "from_curves_error")
    assert len(found) >= 4
    assert median(found) <= FITTED


def test_no_model_is_slower_than_pytorch_by_more_than_a_fifth(path):
    speeds = {row["case"]: row["speed_of_torch"] for row in rows(path) if "speed_of_torch" in row}
    assert len(speeds) >= 4
    assert min(speeds.values()) >= SPEED


def test_memory_is_what_was_predicted_and_none_is_asked_for_in_a_step(path):
    for row in rows(path):
        assert row["arena_bytes"] == row["arena_predicted_bytes"], row["case"]
        assert row["arena_intact"], row["case"]
        assert (row["grown_bytes"], row["taken"]) == (0, 0), row["case"]


def test_errors_and_verdicts_follow_from_what_was_measured(path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    page = importlib.import_module("gpu_page")
    assert json.loads(path.read_text("utf-8"))["verdicts"] == page.verdicts(rows(path))
    for row in rows(path):
        for name in ("from_ops", "from_curves", "from_datasheet"):
            if f"{name}_s" in row:
                error = row[f"{name}_s"] / row["measured_s"] - 1
                assert row[f"{name}_error"] == pytest.approx(error)

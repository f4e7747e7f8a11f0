"""Loss and accuracy on records that were not trained on."""

from math import log, prod

import numpy as np
import pytest

from planner.model import load_model
from planner.steps import load
from runtime import evaluate as module
from runtime.evaluate import evaluate
from runtime.initial import initial_parameters
from runtime.record_writer import write_records
from runtime.records import RecordFile
from tests.planner_cases import tiny_encoder


@pytest.mark.parametrize(("name", "kind"), [("lenet-5", "digits"), ("gpt-nano", "text")])
def test_a_model_of_zeros_knows_nothing(name, kind, home):
    """All logits are equal: the loss is that of a guess, and class 0 is always named."""
    model, path = load_model(name), home / "data" / f"{kind}-test.rec"
    with RecordFile(path) as records:
        raw = np.empty((records.count, records.header.record_bytes), np.uint8)
        records.read_into(0, raw)
    labels = raw[:, 1:] if model.next_token else raw[:, 0]
    flat = np.zeros(model.parameter_count)
    loss, accuracy = evaluate(model, "float64", flat, path)
    assert loss == pytest.approx(log(model.classes), rel=1e-12)
    assert accuracy == pytest.approx(float((labels == 0).mean()), abs=1e-12)


@pytest.mark.parametrize("name", ["mlp", "gpt-nano"])
def test_parts_of_the_test_make_the_whole(name, home, monkeypatch):
    model = load_model(name)
    path = home / "data" / f"{'text' if model.reads_tokens else 'digits'}-test.rec"
    flat = initial_parameters(model, "float64", 0)
    whole = evaluate(model, "float64", flat, path)
    monkeypatch.setattr(module, "SAMPLES", 50)
    parts = evaluate(model, "float64", flat, path)
    assert parts == pytest.approx(whole, rel=1e-12)


def test_large_outputs_are_few_at_a_time_and_the_same(home, monkeypatch):
    model, path = load_model("mlp"), home / "data" / "digits-test.rec"
    flat = initial_parameters(model, "float64", 0)
    whole = evaluate(model, "float64", flat, path)
    widest = max(prod(layer.out_shape) for layer in model.layers)
    monkeypatch.setattr(module, "MOST_BYTES", 90 * 8 * widest // 2)
    seen = []
    monkeypatch.setattr(module, "load", lambda m, n, dtype: seen.append(n) or load(m, n, dtype))
    assert evaluate(model, "float64", flat, path) == pytest.approx(whole, rel=1e-12)
    assert seen == [45] * 8


def test_every_head_counts(tmp_path):
    """Zeros: the loss is that of a guess of two and a guess of 17."""
    model, path = tiny_encoder(), tmp_path / "one.rec"
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 2, (6, model.record_bytes), dtype=np.uint8)
    write_records(path, raw[:, 1:], raw[:, 0], classes=2, seed=0)
    loss, accuracy = evaluate(model, "float64", np.zeros(model.parameter_count), path)
    assert loss == pytest.approx(log(2) + log(17), rel=1e-12)
    assert accuracy == pytest.approx(float((raw[:, :3] == 0).mean()))

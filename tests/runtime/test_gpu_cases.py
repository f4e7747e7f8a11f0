"""A case of `make gpu-check`, measured and predicted here, small: what its page rests on."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    """The modules of `bench` by name."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


def facts():
    return {
        "name": "here",
        "memory_bytes": 1 << 34,
        "profile": "",
        "system": "",
        "rehearsal": True,
    }


def test_a_case_is_measured_predicted_and_put_in_a_table(bench, tmp_path, monkeypatch):
    cases, measure = bench("gpu_cases"), bench("gpu_measure")
    monkeypatch.setattr(measure, "BLOCKS", 2)
    monkeypatch.setattr(measure, "MORE", 1)
    monkeypatch.setattr(bench("gpu_twin"), "pytorch", lambda: None)
    case = cases.Case(model="mlp", batch=4, dtype="float32", disk=True)
    found = measure.measure(case, measure.host_device(), facts(), tmp_path, {})
    again = measure.measure(case, measure.host_device(), facts(), tmp_path, found["ops"])
    assert again["ops"] == found["ops"], "ops that are known were timed again"
    page = bench("gpu_page")
    row = page.results(facts(), {"passed": True, "closing": "1 passed"}, {case: found})["rows"][0]
    assert row["from_ops_s"] == pytest.approx(
        sum(op["median_s"] * _firings(measure, case, key) for key, op in found["ops"].items()),
        rel=1e-3,
    )
    assert row["arena_intact"]
    assert not row["is_host_bound"]
    slow = {key: op | {"issue_s": 1e-2} for key, op in found["ops"].items()}
    late = page.results(facts(), {"passed": True, "closing": ""}, {case: found | {"ops": slow}})
    assert late["rows"][0]["is_host_bound"]
    text = page.table([{**late, "facts": facts()}])
    assert "Nothing here was run by a GPU." in text
    assert "| mlp/b4/float32/disk |" in text
    assert "| host |" in text


def _firings(measure, case, signature):
    from planner.lower import lower

    model, training, plan = measure.question(case)
    profile = measure.bare_profile("here", 1 << 34, "float32")
    machine = measure.machine_of(case, profile, {}, "")
    program = lower(model, training, plan, machine.cluster(1), machine.books(1))
    return sum(info.call.signature == signature for info in program.tasks)


def test_cases_have_distinct_keys_and_every_model_precision_and_batch(bench):
    cases = bench("gpu_cases")
    for all_of in (cases.GPU, cases.REHEARSAL):
        assert len({case.key for case in all_of}) == len(all_of)
    plain = [case for case in cases.GPU if not case.disk and case.ranks == 1]
    for model in cases.CONVNETS:
        for dtype in cases.DTYPES:
            of = {case.batch for case in plain if (case.model, case.dtype) == (model, dtype)}
            assert of == {32, 128, 256}
    assert any(case.ranks == 8 for case in cases.GPU)
    assert any(case.disk for case in cases.GPU)
    assert replace(cases.GPU[0], disk=True).key.endswith("/disk")

"""A case of `make gpu-check`, measured and predicted here, small: what its page rests on."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reports.gpus import gpu_section

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
    assert again["spent_s"]["ops"] < found["spent_s"]["ops"]
    assert set(found["spent_s"]) == {"ops", "steps", "torch"}
    page = bench("gpu_page")
    row = page.results(facts(), {"passed": True, "closing": "1 passed"}, {case: found})["rows"][0]
    assert row["from_ops_s"] == pytest.approx(
        sum(op["median_s"] * _firings(measure, case, key) for key, op in found["ops"].items()),
        rel=1e-3,
    )
    assert row["arena_intact"]
    assert not row["is_host_bound"]
    slow = {key: op | {"issue_s": 1e-2} for key, op in found["in_step"].items()}
    late = page.results(facts(), {"passed": True, "closing": ""}, {case: found | {"in_step": slow}})
    assert late["rows"][0]["is_host_bound"]
    text = gpu_section([{**late, "facts": facts()}])
    assert "Nothing here was run by a GPU." in text
    assert "| mlp/b4/float32/disk |" in text
    assert "| host |" in text


def test_what_was_measured_is_kept_before_pytorch_begins(bench, tmp_path, monkeypatch):
    cases, measure = bench("gpu_cases"), bench("gpu_measure")
    monkeypatch.setattr(measure, "BLOCKS", 2)
    monkeypatch.setattr(measure, "MORE", 1)
    kept = []

    def ends_never(*_, **__):
        assert len(kept) == 1, "PyTorch began before anything was kept"
        raise TimeoutError

    monkeypatch.setattr(measure, "twin", ends_never)
    case = cases.Case(model="mlp", batch=4, dtype="float32")
    with pytest.raises(TimeoutError):
        measure.measure(case, measure.host_device(), facts(), tmp_path, {}, kept.append)
    row = bench("gpu_page").results(facts(), {"passed": True, "closing": ""}, {case: kept[0]})
    assert row["rows"][0]["torch"] == {"skipped": "did not end in time"}
    assert "speed_of_torch" not in row["rows"][0]


def test_what_was_measured_is_predicted_later(bench, tmp_path, monkeypatch, capsys):
    cases, measure, check = bench("gpu_cases"), bench("gpu_measure"), bench("gpu_check")
    for name, value in (("BLOCKS", 2), ("STEPS", 1), ("MORE", 1)):
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(bench("gpu_twin"), "pytorch", lambda: None)
    case, other = (cases.Case(model="mlp", batch=n, dtype="float32") for n in (2, 4))
    monkeypatch.setattr(check, "REHEARSAL", (case, other))

    def run(*more):
        arguments = ["gpu_check", "--rehearse", "--state", str(tmp_path), *more]
        monkeypatch.setattr(sys, "argv", arguments)
        return check.main()

    assert run("--predict-only") == 2
    assert "expected what was measured" in capsys.readouterr().err
    check._keep(tmp_path, "facts", facts())
    check._keep(tmp_path, "contract", {"passed": True, "closing": "1 passed"})
    check._keep(tmp_path, case.key, check._measured(case.key, True, tmp_path))
    assert run("--measure-only", "--only", "contract", case.key) == 0
    assert not (tmp_path / "gpu.md").exists()
    assert run("--predict-only") == 5
    assert f"not measured: {other.key}" in capsys.readouterr().err
    assert f"| {case.key} |" in (tmp_path / "gpu.md").read_text()
    check._keep(tmp_path, other.key, check._done(tmp_path, case.key))
    assert run("--predict-only", "--only", case.key) == 0
    check._keep(tmp_path, "contract", {"passed": False, "closing": "1 failed"})
    assert run("--predict-only", "--only", case.key) == 5


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
    rate = {c.optimizer: bench("gpu_measure").question(c)[1].learning_rate for c in cases.GPU}
    assert rate["adamw"] < rate["sgd"] / 10
    assert any(case.ranks == 8 for case in cases.GPU)
    assert any(case.disk for case in cases.GPU)
    assert replace(cases.GPU[0], disk=True).key.endswith("/disk")


def test_a_case_on_a_gpu_is_measured_and_judged(bench, tmp_path, monkeypatch, fake_gpu, tiny):
    """All that `make gpu-check` does with a GPU but its time, on the fakes of one."""
    cases, measure, check = bench("gpu_cases"), bench("gpu_measure"), bench("gpu_check")
    for name, value in (("BLOCKS", 2), ("STEPS", 2), ("MORE", 2)):
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(bench("gpu_twin"), "pytorch", lambda: None)
    plain = cases.Case(model=tiny, batch=4, dtype="float64")
    case = replace(plain, batch=8, disk=True)
    monkeypatch.setattr(check, "GPU", (plain, case))
    check._keep(tmp_path, "facts", check._facts(rehearse=False))
    for each in (plain, case):
        check._keep(tmp_path, each.key, check._measured(each.key, False, tmp_path))
    found = {each: check._done(tmp_path, each.key) for each in (plain, case)}
    given = check._done(tmp_path, "facts")
    assert given["name"] == "Fake GPU"
    page = bench("gpu_page").results(given, {"passed": True, "closing": ""}, found)
    for row in page["rows"]:
        assert row["arena_bytes"] == row["arena_predicted_bytes"]
        assert (row["grown_bytes"], row["taken"]) == (0, 0)
        assert row["issue_s"] > 0
        assert row["from_ops_s"] >= row["without_issue_s"]
    assert any(line.startswith("calibration: ") for line in page["verdicts"])
    assert "steps that asked for memory: none" in page["verdicts"]
    odd = [{**row, "taken": 3, "arena_predicted_bytes": 1} for row in page["rows"]]
    lines = bench("gpu_page").verdicts(odd)
    assert not any(line.endswith("memory: none") or "past: none" in line for line in lines)

"""This machine: calibrated ops price ``local``, a plan runs, and a page shows both."""

import json
from dataclasses import replace

import pytest

import foreplan
from foreplan.machines import Local
from hwprofiles.errors import ProfileError
from planner.plan import Training
from planner.records import read_record, write_record

pytestmark = pytest.mark.slow

PLAN = ["plan", "mlp", "local", "--batch", "64", "--fix", "workers=1", "--budget", "20"]
PLAN += ["--fix", "microbatch=64"]  # whose ops are timed, while a curve may make others look faster


@pytest.fixture(autouse=True)
def here(calibrated_home, monkeypatch):
    monkeypatch.setenv("FOREPLAN_HOME", str(calibrated_home))
    return calibrated_home


def test_plan_execute_report(here, inside, tmp_path):
    planned = inside(PLAN, tmp_path, here)
    assert planned.returncode == 0, planned.stderr
    assert "grade measured" in planned.stdout
    run = inside(["execute", "plan.json", "--steps", "20", "--allow-drift"], tmp_path, here)
    assert run.returncode == 0, run.stderr
    for word in ("predicted", "measured", "error split", "test accuracy"):
        assert word in run.stdout
    page = inside(["report", "plan.json", "measurement.json"], tmp_path, here)
    assert page.returncode == 0, page.stderr
    assert "dp1-mb" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.md").exists()
    measured = json.loads((tmp_path / "measurement.json").read_text())
    assert measured["environment"]["identity"]["lanes"] == 1


def test_a_plan_file_carries_the_costs_that_it_rests_on(here, monkeypatch, tmp_path):
    found = foreplan.plan("mlp", "local", Training(batch=64), fixed={"microbatch": 64})
    path = tmp_path / "plan.json"
    write_record(path, found)
    monkeypatch.setenv("FOREPLAN_HOME", str(tmp_path / "empty"))
    again = foreplan.api.read_plans(path)
    assert again == read_record(path, type(found), "a plan file")
    machine = again.to_machine()
    measured = {op.signature for ops in again.machine[1].ops.values() for op in ops}
    assert measured
    assert machine.identities[1]["lanes"] == 1


def test_another_kernel_source_is_another_machine(monkeypatch):
    assert Local.here().calibration(1) is not None
    monkeypatch.setattr("runtime.kernels.sources_sha256", lambda: "0" * 64)
    assert Local.here().calibration(1) is None
    with pytest.raises(ProfileError, match="run `foreplan hw calibrate`"):
        Local.here().machine()


def test_ops_can_be_left_to_the_curves():
    whole = Local.here().machine()
    name, book = next(iter(whole.books(1).items()))
    left = frozenset(sorted(book.ops)[::2])
    fitted = Local.here().machine(without=left).books(1)[name]
    assert set(fitted.ops) == set(book.ops) - left


def test_a_check_calibrates_executes_and_judges(here, tmp_path):
    found = foreplan.plan("mlp", "local", Training(batch=64), fixed={"microbatch": 64})
    path, output = tmp_path / "plan.json", tmp_path / "m.json"
    write_record(path, found)
    said = []
    measured = foreplan.execute(
        path, check=True, gate=100.0, executions=2, steps=20, output=output, say=said.append
    )
    assert measured.check is not None
    assert measured.check.valid
    assert measured.check.passed
    assert measured.check.gate == 100.0
    assert len(measured.executions) == 2
    assert said[0].startswith("calibrating ")
    priced = foreplan.api.read_plans(tmp_path / "m.plan.json")
    assert replace(priced.plans[0], label="") == replace(measured.ranked, label="")
    assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=1) + "\n"

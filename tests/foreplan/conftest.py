"""A folder with a good plan file, and commands that must be refused there."""

import json

import pytest

from planner.jsonable import to_jsonable
from planner.plan import Training

BATCH = Training(batch=64)


@pytest.fixture(scope="module")
def plans(plan_file, dp):
    """A plan file as JSON: two workers on a machine of four cores, and one alone."""
    file = plan_file("mlp", BATCH, dp(2, 32, "star"), dp(1, 64))
    return json.dumps(to_jsonable(file))


@pytest.fixture
def folder(tmp_path, plans):
    """A folder with a plan file and an older output that no failing command may touch."""
    (tmp_path / "good.json").write_text(plans)
    (tmp_path / "out.json").write_text("kept")
    (tmp_path / "out.html").write_text("kept")
    return tmp_path


@pytest.fixture
def edited(folder, plans):
    """``edited(fields, index)``: the plan file with some fields of one plan edited by hand."""

    def edit(fields, index=0):
        data = json.loads(plans)
        data["plans"][index]["plan"] |= fields
        (folder / "edited.json").write_text(json.dumps(data))

    return edit


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refused(folder, home, command, inside):
    """``refused(arguments)``: run, check the promises that hold for all faults, return the line.

    In this process, or as one of its own.
    """

    def run(arguments, *, code=2, process=False, at=home):
        before = snapshot(folder)
        answer = (command if process else inside)(arguments, folder, at)
        err = answer.stderr
        assert answer.returncode == code, err
        assert "Traceback" not in err
        assert answer.stdout == ""
        assert err.endswith("\n")
        assert err.count("\n") == 1, err
        assert err.startswith("foreplan: ")
        assert snapshot(folder) == before
        return err.removeprefix("foreplan: ").rstrip()

    return run

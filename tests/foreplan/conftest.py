"""A folder with a good plan file, and commands that must be refused there."""

import json

import pytest

from foreplan import cli
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
def refused(folder, home, command, monkeypatch, capfd):
    """``refused(arguments)``: run, check the promises that hold for all faults, return the line.

    As a process of its own, or with ``inside`` (quicker) in this one.
    """

    def run(arguments, *, code=2, inside=False, at=home):
        before = snapshot(folder)
        if inside:
            monkeypatch.chdir(folder)
            monkeypatch.setenv("FOREPLAN_HOME", str(at))
            capfd.readouterr()
            with pytest.raises(SystemExit) as end:
                cli.main([str(a) for a in arguments])
            got, (out, err) = end.value.code, capfd.readouterr()
        else:
            answer = command(arguments, folder, at)
            got, out, err = answer.returncode, answer.stdout, answer.stderr
        assert got == code, err
        assert "Traceback" not in err
        assert out == ""
        assert err.endswith("\n")
        assert err.count("\n") == 1, err
        assert err.startswith("foreplan: ")
        assert snapshot(folder) == before
        return err.removeprefix("foreplan: ").rstrip()

    return run

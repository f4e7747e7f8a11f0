"""``foreplan talk`` as a person calls it; what it shows is tested beside what computes it."""

import pytest

import planner.dispatching
from foreplan.cli import main


def test_a_folder_that_cannot_be_is_refused_before_anything_is_simulated(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["talk", "-o", str(tmp_path / "file")])
    assert end.value.code == 2
    assert "expected a folder to write figures to" in capsys.readouterr().err


def test_an_interrupt_leaves_no_folder(tmp_path, capsys, monkeypatch):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(planner.dispatching, "dispatching", interrupt)
    with pytest.raises(SystemExit) as end:
        main(["talk", "-o", str(tmp_path / "of" / "figures"), "--quiet"])
    assert end.value.code == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

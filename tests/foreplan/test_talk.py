"""``foreplan talk`` as a person calls it; what it shows is tested beside what computes it."""

import pytest

from foreplan.cli import main


def test_a_folder_that_cannot_be_is_refused_before_anything_is_simulated(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["talk", "-o", str(tmp_path / "file")])
    assert end.value.code == 2
    assert "expected a folder to write figures to" in capsys.readouterr().err

"""``validate``: what it prints, what a run of one's own changes, and what it refuses."""

import json

import pytest

from foreplan import cli
from planner.published.rows import SMALL


@pytest.fixture
def run(capfd):
    def run(*words, code=0):
        with pytest.raises(SystemExit) as end:
            cli.main(["validate", *map(str, words)])
        out, err = capfd.readouterr()
        assert end.value.code == code, err
        return err if code else out

    return run


@pytest.fixture
def mine(tmp_path):
    """The first row of the shipped table as a file of its own."""
    lines = SMALL.read_text(encoding="utf-8").splitlines()
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([lines[0], lines[1]]) + "\n", encoding="utf-8")
    return path


def test_a_run_of_ones_own_is_recorded_and_widens_no_interval(run, mine):
    before = json.loads(run("--json", "--quiet"))
    after = json.loads(run("--json", "--quiet", "--calibrate", mine))
    (shift,) = after["shifts"]
    pairs = list(zip(before["rows"], after["rows"], strict=True))
    moved = {(b["software"], b["generation"]) for b, a in pairs if a["predicted"] != b["predicted"]}
    assert moved == {tuple(shift["family"].split(" on "))}
    first, again = pairs[0]
    assert abs(again["error"]) < abs(first["error"])
    widths = [most / least for least, most in (first["interval_s"], again["interval_s"])]
    assert widths[1] <= widths[0] * (1 + 1e-9)  # by what runs left out say, not by wish


def test_text_says_both_means_and_the_shift(run, mine):
    text = run("--quiet", "--calibrate", mine)
    assert "ops take" in text
    assert "other families stay" in text
    for name in ("mean of sources", "all"):
        assert any(line.startswith(name) for line in text.splitlines())
    assert "regret" in text.splitlines()[1]


def test_a_file_that_is_no_run_is_refused(run, tmp_path):
    said = run("--calibrate", tmp_path / "none.csv", code=2)
    assert said.count("\n") == 1
    assert "none.csv" in said

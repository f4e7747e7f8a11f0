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


def test_one_row_that_cannot_be_a_run_ends_nothing(run, tmp_path):
    """A text too long for its model, a result that is none, a head as spreadsheets write it."""
    path = tmp_path / "rows.csv"
    head = "\ufeffCase_ID, Source,Model,Accelerator,N_devices,Input_size,Precision,"
    head += "Samples_per_s,Framework"
    rows = (
        "long,me,BERT-Large,A100,1,seq 9999,fp16,100,PyTorch",
        "nothing,me,ResNet-50,A100,1,224,fp16,inf,PyTorch",
        'good,me,ResNet-50,A100,1,224,fp16,"1,000",PyTorch',
    )
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    found = json.loads(run(path, "--json", "--quiet"))
    long, nothing, good = found["rows"]
    assert "9999" in long["reason"]
    assert "no result" in nothing["reason"]
    assert good["covered"]
    assert found["summary"]["overall"]["rows"] == 3
    assert found["summary"]["overall"]["covered"] == 1


def test_a_table_without_rows_is_refused(run, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("case_id,source,model,accelerator,n_devices,samples_per_s\n", encoding="utf-8")
    assert "got none" in run(path, code=2)

"""``foreplan input``: a pipeline for a plan, what it prints, and what it refuses."""

import json
from dataclasses import replace

import pytest

import foreplan.api
from foreplan.cli import main
from planner.plan import Source, Training
from planner.records import write_record


@pytest.fixture
def folder(tmp_path, plan_file, dp, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREPLAN_HOME", str(tmp_path / "none"))
    write_record(tmp_path / "plan.json", plan_file("mlp", Training(batch=64), dp(2, 32)))
    return tmp_path


def run(capsys, *arguments):
    """Run the command line in this process; return its code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_the_stages_and_the_advice_are_printed_and_the_plan_is_written(folder, capsys):
    asked = ("--decode-workers", "2", "--throttle", "20kB/s", "--cores", "4")
    code, out, err = run(capsys, "input", "plan.json", *asked, "-o", "fed.json")
    assert code == 0
    assert err.startswith("disk and host cores of cores are not known: a read takes what --")
    assert err.endswith("\nwrote fed.json\n")
    assert "read" in out
    assert out.splitlines()[-1].startswith("1 decode worker per worker and ")
    assert "you have 2 and 20 kB/s: read is the bottleneck" in out
    plans = foreplan.api.read_plans(folder / "fed.json")
    plan = plans.plans[0].plan
    assert (plan.decode_workers, plan.decode_cores) == (2, 2), "two of four cores are spare"
    assert plans.training.source == Source(throttle_bytes_per_s=20e3)
    assert plans.plans[0].prediction.input.bottleneck == "read"
    code, out, _ = run(capsys, "input", "fed.json", "--apply", "--cores", "4", "-o", "good.json")
    assert code == 0
    assert "compute is the bottleneck" in out


def test_no_pipeline_is_the_plan_as_it_was(folder, capsys):
    code, out, _ = run(capsys, "input", "plan.json", "--decode-workers", "0", "-o", "same.json")
    assert (code, out.splitlines()[-1]) == (0, "the step loads by itself")
    before, after = (foreplan.api.read_plans(folder / f"{n}.json") for n in ("plan", "same"))
    assert before == after


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--throttle", "fast"], "--throttle 'fast': expected bytes a second such as 20MB/s"),
        (["--throttle", "-1"], "--throttle"),
        (["--pick", "3"], "--pick 3: the plan file has plans 0 to 0"),
        (["--prefetch", "0"], "--prefetch: "),
        (["--decode-workers", "0", "--cold"], "need an input pipeline, got decode_workers 0"),
        (["--data", "nowhere"], "expected"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, says, folder, capsys):
    code, out, err = run(capsys, "input", "plan.json", *arguments, "-o", "out.json")
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (folder / "out.json").exists()


def test_a_source_that_is_edited_wrong_is_refused(folder, plan_file, dp, capsys):
    data = json.loads((folder / "plan.json").read_text())
    data["training"]["source"]["encoding"] = "gzip"
    data["plans"][0]["plan"]["decode_workers"] = 1
    (folder / "plan.json").write_text(json.dumps(data))
    code, _, err = run(capsys, "input", "plan.json")
    assert code == 2
    assert "source.encoding" in err
    assert "raw" in err


def test_a_record_file_is_packed_by_name(home, tmp_path, capsys):
    source = home / "data" / "digits-train.rec"
    pack = "data", "pack", str(source), str(tmp_path / "small.rec")
    told = f"wrote {tmp_path / 'small.rec'}: 1437 records of 57 bytes each\n"
    assert run(capsys, *pack) == (0, "", told)
    assert run(capsys, *pack, "--quiet") == (0, "", "")
    code, _, err = run(
        capsys, "data", "pack", str(tmp_path / "small.rec"), str(tmp_path / "twice.rec")
    )
    assert code == 2
    assert "expected raw records to compress, got zlib" in err


def test_an_execution_says_what_its_input_was(capsys):
    from foreplan.commands.execute import show_input
    from runtime.outcome import input_run

    rank = {
        "wall_s": 2.0,
        "stall_s": [0.1, 0.3],
        "bytes": {"read_bytes": 1000, "device_bytes": 250},
        "processes": {"reader": (4, 0.5), "decode worker 0": (2, 1.0), "decode worker 1": (2, 0.4)},
    }
    found = input_run([rank, rank])
    assert found.stages["read"].busy_frac == 0.5, "both read from one disk"
    assert found.stages["decode"].busy_frac == 0.5, "of the busiest worker"
    assert found.stages["decode"].each_s == pytest.approx(0.35)
    assert found.stall_s == (0.1, 0.3)
    show_input(found)
    assert "2 kB read, 500 B of it from the device; read 50.0 % busy" in capsys.readouterr().out
    assert replace(found, stages={}) == input_run([rank | {"processes": {}}] * 2)

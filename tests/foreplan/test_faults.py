"""Faults at the command line: a lost worker, a checkpoint to go on from, and the doctor."""

import contextlib
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from planner.plan import Training
from planner.records import to_jsonable
from runtime.checkpoint import stored

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, plan_file, dp):
    plans = plan_file("mlp", Training(batch=64), dp(2, 32), dp(1, 64))
    (tmp_path / "plan.json").write_text(json.dumps(to_jsonable(plans)))
    return tmp_path


def kill_rank(pid, rank, ready):
    """Kill the worker ``rank`` below ``pid`` once ``ready()``; return the time at which it was."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.Process(pid).children(recursive=True) if ready() else ():
            with contextlib.suppress(psutil.Error):
                is_worker = "runtime.worker" in process.cmdline()
                if is_worker and process.environ().get("PMI_RANK") == str(rank):
                    process.kill()
                    return time.monotonic()
        time.sleep(0.02)
    raise AssertionError("no worker to kill")


def test_a_killed_worker_is_exit_code_3_and_resume_ends_where_it_would_have(folder, home, inside):
    arguments = ["execute", "plan.json", "--steps", "1000000", "--checkpoint-every", "25"]
    kept = folder / "measurement.checkpoints"
    with subprocess.Popen(
        [sys.executable, "-m", "foreplan.cli", *arguments],
        cwd=folder,
        env=os.environ | {"FOREPLAN_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killed_s = kill_rank(process.pid, 1, lambda: len(stored(kept)) == 2)
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - killed_s < 5
    assert (process.returncode, out) == (3, "")
    assert err.startswith("foreplan: rank 1: expected to run to the end, but process ")
    assert err.count("\n") == 1
    assert not (folder / "measurement.json").exists()
    n = int(stored(kept)[-1].stem.removeprefix("step-"))
    steps = str(n + 7 - 10)  # ten more warm up
    again = inside(["execute", "plan.json", "--steps", steps, "--resume"], folder, home)
    assert again.returncode == 0, again.stderr
    resumed = json.loads((folder / "measurement.json").read_text())["executions"][0]
    assert len(resumed["losses"]) == n + 7
    assert resumed["steps"] == 1, "six of the seven warm up"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--resume"], "expected a checkpoint to resume from, found none; leave out --resume"),
        (["--resume-from", "no.ckpt"], "checkpoint no.ckpt: expected a readable file"),
        (["--checkpoint-every", "5", "--check"], "leave out the options of checkpoints, or"),
        (["--checkpoint-every", "-1"], "--checkpoint-every: "),
        (["--timeout", "0"], "--timeout: "),
        (["--hosts", "nowhere"], "nowhere: expected a hosts file"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, says, folder, home, inside):
    answer = inside(["execute", "plan.json", "-o", "out.json", *arguments], folder, home)
    assert answer.returncode == 2
    assert says in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not (folder / "out.json").exists()


def test_the_doctor_is_quick_and_finds_this_machine_fit(home, command, tmp_path):
    start_s = time.monotonic()
    answer = command(["doctor", "--json"], tmp_path, home)
    assert time.monotonic() - start_s < 5
    assert answer.returncode == 0, answer.stdout
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert rows["MPI"]["verdict"] == rows["home"]["verdict"] == rows["records"]["verdict"] == "ok"


def test_the_doctor_fails_with_what_to_do(inside, tmp_path):
    (tmp_path / "ops.sqlite").write_text("no database at all")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "digits-train.rec").write_text("no records")
    answer = inside(["doctor"], tmp_path, tmp_path)
    assert answer.returncode == 5
    assert answer.stderr.startswith(
        "foreplan: doctor: expected all that a run needs, got a failure"
    )
    assert "op store, records" in answer.stderr
    assert "-> move the file away" in answer.stdout
    assert "-> run `foreplan data digits`" in answer.stdout

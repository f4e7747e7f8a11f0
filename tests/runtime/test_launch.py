"""Launching: a result or one clear error comes back, and no process stays behind."""

import contextlib
import os
import time

import psutil
import pytest

from hwprofiles.errors import RecordError, WorkerLost
from planner.jsonable import to_jsonable
from planner.plan import Training
from runtime.launch import ProgressPrinter, launch, mpiexec

pytestmark = pytest.mark.slow

FOREVER = 100_000_000
KILLED = r"^workers: mpiexec ended with code \d+ before|^rank [01]: another worker went away"
"""By whom it is noticed first: the launcher, or the other worker in the middle of a message."""


@pytest.fixture
def job(home, plan_file, dp):
    plans = plan_file("mlp", Training(batch=64), dp(2, 32), dp(1, 64))
    return {
        "kind": "train",
        "cores": [0, 1],
        "identity": {},
        "plans": to_jsonable(plans),
        "pick": 0,
        "train": str(home / "data" / "digits-train.rec"),
        "test": str(home / "data" / "digits-test.rec"),
        "steps": 40,
        "warmup": 0,
        "traced": 0,
        "solo": False,
        "sentinels": False,
        "expected": {},
        "parameters": "",
    }


@pytest.fixture(autouse=True)
def nothing_stays_behind(our_workers):
    """Hold after every test here: no worker, no launcher, nothing left in the group of one."""
    yield
    deadline = time.monotonic() + 10
    while our_workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert our_workers() == []


def test_the_result_of_rank_0_comes_back_with_progress_on_the_way(job):
    seen = []
    answer = launch(job, 2, timeout_s=60, progress=lambda done, total: seen.append((done, total)))
    assert len(answer["losses"]) == 40
    assert seen[-1] == (40, 40)
    assert seen == sorted(seen)


def test_an_error_of_the_input_comes_back_as_itself(job):
    with pytest.raises(RecordError, match=r"nowhere\.rec: expected a readable file"):
        launch(job | {"train": "/nowhere.rec"}, 2, timeout_s=60)


def test_a_bug_comes_back_with_its_rank_and_traceback(job):
    del job["warmup"]
    with pytest.raises(RuntimeError, match=r"rank [01] failed:\nTraceback") as caught:
        launch(job, 2, timeout_s=60)
    assert "KeyError: 'warmup'" in str(caught.value)
    assert 'train.py", line' in str(caught.value)


def test_a_killed_worker_is_a_lost_worker(job, our_workers):
    killed = []

    def kill_one(done, total):
        if not killed:
            workers = [p for p in our_workers() if p.name().startswith("python")]
            assert len(workers) == 2
            killed.append(workers[-1])
            workers[-1].kill()

    with pytest.raises(WorkerLost, match=KILLED) as caught:
        launch(job | {"steps": FOREVER}, 2, timeout_s=60, progress=kill_one)
    assert killed
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_a_run_that_takes_too_long_is_stopped(job):
    with pytest.raises(WorkerLost, match=r"no end after 2 s.*--timeout.*--steps") as caught:
        launch(job | {"steps": FOREVER}, 2, timeout_s=2)
    assert caught.value.exit_code == 3


def test_an_interrupt_ends_the_workers(job, our_workers):
    seen = []

    def interrupt(done, total):
        seen.extend(our_workers())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(job | {"steps": FOREVER}, 2, timeout_s=60, progress=interrupt)
    assert len(seen) >= 3
    _, alive = psutil.wait_procs(seen, timeout=10)
    assert alive == []


def test_workers_are_a_session_of_their_own(job, our_workers):
    groups = []

    def look(done, total):
        for process in our_workers():
            with contextlib.suppress(ProcessLookupError):
                groups.append(os.getsid(process.pid))

    launch(job, 2, timeout_s=60, progress=look)
    assert groups
    assert os.getsid(0) not in groups


def test_the_launcher_is_the_one_of_this_python():
    assert os.access(mpiexec(), os.X_OK)


def test_a_machine_without_mpiexec_is_told_what_to_install(monkeypatch, tmp_path):
    from hwprofiles.errors import BackendUnavailable

    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match=r"mpiexec: not found .* install the `mpich`"):
        mpiexec()


def test_progress_is_printed_at_most_ten_times_a_second_and_at_the_end(capsys):
    printer = ProgressPrinter(5000)
    for done in range(1, 5001):
        printer.at(done)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "foreplan-progress 1 5000"
    assert lines[-1] == "foreplan-progress 5000 5000"
    assert len(lines) < 50

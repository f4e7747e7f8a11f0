"""Launching: a result or one clear error comes back, and no process stays behind."""

import contextlib
import os
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hwprofiles.errors import BackendUnavailable, RecordError, WorkerLost
from planner.jsonable import to_jsonable
from planner.plan import Training
from runtime.launch import _fault, launch, mpiexec
from runtime.outer import Team

pytestmark = pytest.mark.slow

FOREVER = 100_000_000
KILLED_S = 5.0
"""From the death of a worker to the end of the run."""


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


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_is_named_within_seconds(rank, job, workers_by_rank):
    killed = []

    def kill(done, total):
        if not killed:
            killed.append(time.monotonic())
            workers_by_rank()[rank].kill()

    with pytest.raises(WorkerLost, match=rf"^rank {rank}: expected to run to the end") as caught:
        launch(job | {"steps": FOREVER}, 2, timeout_s=60, progress=kill)
    assert time.monotonic() - killed[0] < KILLED_S
    assert caught.value.exit_code == 3
    assert "--resume" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_four_workers_the_killed_one_is_named(job, workers_by_rank, plan_file, dp):
    """With more than two, the launcher alone would name one that it has ended itself."""
    plans = to_jsonable(plan_file("mlp", Training(batch=64), dp(4, 16)))
    killed = []

    def kill(done, total):
        if not killed:
            killed.append(workers_by_rank()[2])
            killed[0].kill()

    with pytest.raises(WorkerLost, match=r"^rank 2: .* process \d+ on .* was killed"):
        launch(job | {"plans": plans, "steps": FOREVER}, 4, timeout_s=60, progress=kill)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_worker_is_named_within_the_timeout(rank, job, workers_by_rank):
    stopped = []

    def stop(done, total):
        if not stopped:
            stopped.append(time.monotonic())
            workers_by_rank()[rank].suspend()

    says = rf"^rank {rank}: expected a sign of life .* for 2 s \(.*, stopped by a signal\)"
    with pytest.raises(WorkerLost, match=says) as caught:
        launch(job | {"steps": FOREVER}, 2, timeout_s=2, progress=stop)
    assert time.monotonic() - stopped[0] < 2 + KILLED_S
    assert caught.value.exit_code == 3


def test_a_run_that_gets_on_may_take_longer_than_the_timeout(job):
    seen = []

    def look(done, total):
        seen.append(time.monotonic())
        if seen[-1] - seen[0] > 2.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(job | {"steps": FOREVER}, 2, timeout_s=1, progress=look)


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


def test_a_worker_that_cannot_load_mpi_says_why(job, monkeypatch, tmp_path):
    package = tmp_path / "mpi4py"
    package.mkdir()
    (package / "__init__.py").write_text('raise RuntimeError("no libmpi\\nhere")')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        BackendUnavailable, match=r"^mpi4py: expected it to load, but no libmpi here"
    ):
        launch(job, 1, timeout_s=60)


def test_a_host_that_cannot_be_reached_is_told_in_the_words_of_ssh():
    said = ["ssh: connect to host b: No route to host", "", "[mpiexec@a] HYDT_dmxu_poll: error"]
    (text,) = _fault([], 255, said, Path("hosts")).args
    assert text.endswith(
        ": ssh: connect to host b: No route to host; see that `ssh HOST true` works"
        " for every host of hosts"
    )
    (text,) = _fault([], 1, said[2:]).args
    assert text.endswith(said[2])


def test_a_fault_under_an_outer_launcher_ends_the_process_though_abort_comes_back(monkeypatch):
    def lost(*_):
        raise WorkerLost("gone")

    def leave(code):
        raise SystemExit(code)

    monkeypatch.setattr("runtime.outer.run", lost)
    monkeypatch.setattr("os._exit", leave)
    world = SimpleNamespace(rank=0, size=1, Split=lambda color, key: None, Abort=lambda code: None)
    with pytest.raises(SystemExit) as caught:
        Team(world).launch({}, 1, timeout_s=1)
    assert caught.value.code == WorkerLost.exit_code

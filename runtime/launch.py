"""Start workers under mpiexec, watch them, and bring back their result or their error."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hwprofiles.errors
from hwprofiles.errors import BackendUnavailable, WorkerLost
from hwprofiles.identity import worker_environment

PROGRESS = "foreplan-progress "
"""Prefix of the lines by which rank 0 says how far it is."""
GRACE_S = 5.0
"""Time between asking mpiexec to end and making it end."""

Progress = Callable[[int, int], None]


def mpiexec() -> str:
    """Return the launcher of the MPI beside this Python, else of the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise BackendUnavailable(
            "mpiexec: not found beside this Python or on the path; install the `mpich` package"
        )
    return found


def launch(
    job: dict[str, Any],
    workers: int,
    *,
    timeout_s: float,
    progress: Progress = lambda done, total: None,
) -> Any:
    """Run ``job`` on ``workers`` processes; return the JSON that rank 0 wrote.

    Raises
    ------
    WorkerLost
        When a worker died or the run took longer than ``timeout_s``.
    ForeplanError
        The one that a worker raised.
    """
    with tempfile.TemporaryDirectory(prefix="foreplan-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job))
        command = [mpiexec(), "-n", str(workers), sys.executable, "-m", "runtime.worker"]
        environment = worker_environment(os.environ)
        here = str(Path(__file__).parent.parent)
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{here}{os.pathsep}{before}" if before else here
        with _process([*command, str(folder / "job.json")], environment) as process:
            tail = _watch(process, timeout_s, progress)
        result = folder / "result.json"
        if process.returncode == 0 and result.exists():
            return json.loads(result.read_text())
        raise _fault(folder, process.returncode, tail)


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start mpiexec in a session of its own; whatever happens, leave nothing behind."""
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
            # hydra's proxies ignore SIGTERM; the session is ours, so its group may be killed whole
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _watch(process: "subprocess.Popen[str]", timeout_s: float, progress: Progress) -> list[str]:
    """Read the workers' output until it ends; return its last lines."""
    import threading

    late = threading.Event()

    def stop() -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    tail: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(PROGRESS):
                done, total = line.removeprefix(PROGRESS).split()
                progress(int(done), int(total))
            else:
                tail = [*tail[-19:], line.rstrip()]
        process.wait()
    finally:
        timer.cancel()
    if late.is_set():
        raise WorkerLost(
            f"workers: no end after {timeout_s:g} s, so they were stopped; give --timeout more or"
            " fewer --steps"
        )
    return tail


def _fault(folder: Path, code: int, tail: list[str]) -> Exception:
    """Return the error of a run that did not end well."""
    error = folder / "error.json"
    if error.exists():
        fault = json.loads(error.read_text())
        kind = getattr(hwprofiles.errors, fault["kind"], None)
        if kind is not None:
            raised: Exception = kind(fault["text"])
            return raised
        return RuntimeError(f"rank {fault['rank']} failed:\n{fault['text']}")
    last = "; ".join(line for line in tail if line.strip())[-500:]
    return WorkerLost(
        f"workers: mpiexec ended with code {code} before a result was written: {last}"
    )


class ProgressPrinter:
    """Rank 0's side of progress: at most ten lines a second."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._next = 0.0

    def at(self, done: int) -> None:
        """Say that ``done`` of ``total`` is done."""
        now = time.monotonic()
        if now >= self._next or done == self.total:
            self._next = now + 0.1
            print(f"{PROGRESS}{done} {self.total}", flush=True)  # noqa: T201 - the pipe to the parent

"""Start workers under mpiexec, watch them, and bring back their result or their error."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import hwprofiles.errors
from hwprofiles.errors import BackendUnavailable, WorkerLost
from hwprofiles.identity import worker_environment
from runtime.hosts import Hosts
from runtime.voice import BEAT_S
from runtime.watch import REPORTED, RESULT, Listener, Progress, Watch, faults

GRACE_S = 5.0
"""Time between asking mpiexec to end and making it end."""
TIMEOUT_S = 60.0
"""A worker that says nothing for so long, or workers that get nowhere, are given up."""
MOST_LINES = 100
"""Kept of what workers and mpiexec say beside their messages."""
MOST_SAID = 500
"""Characters of these that are passed on in an error."""
OF_MPIEXEC = re.compile(r"\[(mpiexec|proxy)\b")
"""How lines begin in which mpiexec and its proxies say where in their code they failed."""


class Launch(Protocol):
    """Whatever runs a job on some workers and returns the JSON that rank 0 made."""

    def __call__(
        self, job: dict[str, Any], workers: int, *, timeout_s: float, progress: Progress
    ) -> Any:
        """Run it."""
        ...


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
    timeout_s: float = TIMEOUT_S,
    progress: Progress = lambda done, total: None,
    hosts: Hosts | None = None,
) -> Any:
    """Run ``job`` on ``workers`` processes; return the JSON that rank 0 wrote.

    Parameters
    ----------
    job : dict
        What to do, as JSON types.
    workers : int
    timeout_s : float
        How long a worker may be silent, or all of them without progress; a run that gets on may
        take as long as it likes.
    progress : callable
    hosts : Hosts, optional
        Where to run; this machine by default.

    Raises
    ------
    WorkerLost
        When a worker died, or the timeout has passed; the message names the rank.
    ForeplanError
        The one that a worker raised.
    """
    if hosts:
        hosts.shared.mkdir(parents=True, exist_ok=True)
    where = hosts.shared if hosts else None
    with tempfile.TemporaryDirectory(prefix="foreplan-", dir=where) as name:
        folder = Path(name)
        told = job | {"beat_s": min(BEAT_S, timeout_s / 4)}
        (folder / "job.json").write_text(json.dumps(told))
        command = [mpiexec(), *(["-f", str(hosts.path)] if hosts else [])]
        command += ["-n", str(workers), sys.executable, "-m", "runtime.worker"]
        command.append(str(folder / "job.json"))
        environment = worker_environment(os.environ)
        here = str(Path(__file__).parent.parent)
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{here}{os.pathsep}{before}" if before else here
        watch = Watch(Listener(workers, timeout_s, progress, time.monotonic()), folder)
        with watch, _process(command, environment) as process:
            tail = _listen(process, watch)
        result = folder / RESULT
        if process.returncode == 0 and result.exists():
            return json.loads(result.read_text())
        if watch.fault and watch.fault != REPORTED:
            raise WorkerLost(watch.fault + crash(tail))
        found = faults(folder) or watch.listener.faults
        raise _fault(found, process.returncode, tail, hosts.path if hosts else None)


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
            _kill(process)


def _listen(process: "subprocess.Popen[str]", watch: Watch) -> list[str]:
    """Hear the workers until they end; return the last lines that are not theirs."""
    tail: list[str] = []
    assert process.stdout is not None
    watch.begin(lambda: _kill(process))
    for line in process.stdout:
        try:
            watch.listener.hear(line, time.monotonic())
        except ValueError:
            tail = [*tail[1 - MOST_LINES :], line.rstrip()]
    process.wait()
    return tail


def crash(tail: list[str]) -> str:
    """Return what a worker that crashed said of it, or its libraries, in brackets; else nothing.

    >>> crash(["Fatal Python error: Segmentation fault", "", "Current thread"])
    ' (Fatal Python error: Segmentation fault)'
    >>> crash(["[proxy:0] it ended", "MPI_INIT failed", "Local abort before it was complete", ""])
    ' (MPI_INIT failed; Local abort before it was complete)'
    """
    fatal = [line for line in tail if line.startswith("Fatal Python error")]
    said = "; ".join(fatal[:1] or _said(tail))[-MOST_SAID:]
    return f" ({said})" if said else ""


def _said(tail: list[str]) -> list[str]:
    """Return the lines that are not mpiexec's own, for these do not tell why."""
    return [line for line in tail if line.strip() and not OF_MPIEXEC.match(line)]


def _kill(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _fault(
    found: list[dict[str, Any]], code: int, tail: list[str], hosts: Path | None = None
) -> Exception:
    """Return the error of a run that did not end well."""
    for fault in found[:1]:
        kind = getattr(hwprofiles.errors, fault["kind"], None)
        if kind is not None:
            raised: Exception = kind(fault["text"])
            return raised
        return RuntimeError(f"rank {fault['rank']} failed:\n{fault['text']}")
    last = "; ".join(_said(tail) or [line for line in tail if line.strip()])[-MOST_SAID:]
    advice = f"; see that `ssh HOST true` works for every host of {hosts}" if hosts else ""
    return WorkerLost(
        f"workers: mpiexec ended with code {code} before a result was written: {last}{advice}"
    )

"""Watching a run: what its workers said, which of them is dead, silent or stuck.

The first process that ends before the result is there is the lost one. The launcher kills the
others a millisecond later, so who was the first is told by the system: every worker of this host
holds a pipe as its highest descriptor, which Linux closes first when a process dies, before the
launcher can notice anything, and epoll reports what becomes ready in the order in which it did.
"""

import contextlib
import fcntl
import json
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.voice import BEAT_S, heard

START_S = 30.0
"""What a worker may take to say who it is, where the timeout is shorter."""
TICK_S = 0.25
"""Between two looks at the clock."""

RESULT, ERROR = "result.json", "error.json"
"""Files in the folder of a job; rank 1 writes why it fails to ``error.json.1``."""
ALIVE = "alive"
"""A pipe that rank 1 holds open while it lives is ``alive.1``."""
REPORTED = "reported"
"""The fault of a run of which a worker has written why it failed."""

Progress = Callable[[int, int], None]


def faults(folder: Path) -> list[dict[str, Any]]:
    """Return the errors that ranks have written: those that explain the others first."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{ERROR}.[0-9]*"))]
    return sorted(found, key=lambda fault: fault["kind"] == "WorkerLost")


@dataclass(slots=True)
class Heard:
    """What is known of one worker."""

    spoke_s: float
    """When it last said anything."""
    moved_s: float
    """When its marks last grew."""
    marks: int = 0
    pid: int = 0
    host: str = ""

    @property
    def process(self) -> str:
        """Name of its process, for a sentence."""
        return f"process {self.pid} on {self.host}" if self.pid else "its process"


class Listener:
    """What all workers of a run have said, and the fault that follows from it."""

    def __init__(self, workers: int, timeout_s: float, progress: Progress, now_s: float) -> None:
        self._timeout_s = timeout_s
        self._progress = progress
        self.faults: list[dict[str, Any]] = []
        """What failing ranks have said, in case that they cannot write it."""
        self.ranks = {r: Heard(spoke_s=now_s, moved_s=now_s) for r in range(workers)}

    def hear(self, line: str, now_s: float) -> None:
        """Take in one line of output.

        Raises
        ------
        ValueError
            When the line is none of a worker's.
        """
        facts = heard(line)
        if facts is None:
            raise ValueError(line)
        if "fault" in facts:
            self.faults.append(dict(facts["fault"]))  # type: ignore[call-overload]
        elif "total" in facts:
            self._progress(int(str(facts["done"])), int(str(facts["total"])))
        else:
            self._hear_rank(facts, now_s)

    def _hear_rank(self, facts: dict[str, object], now_s: float) -> None:
        worker = self.ranks[int(str(facts["rank"]))]
        worker.spoke_s = now_s
        if "pid" in facts:
            worker.pid, worker.host = int(str(facts["pid"])), str(facts["host"])
            worker.moved_s = now_s
        elif (marks := int(str(facts["marks"]))) != worker.marks:
            worker.marks, worker.moved_s = marks, now_s

    def complaint(self, now_s: float) -> str:
        """Say who is silent, or that nobody gets on; empty when all is well."""
        limit_s = self._timeout_s
        silent = {
            r: w
            for r, w in self.ranks.items()
            if now_s - w.spoke_s > (limit_s if w.pid else max(limit_s, START_S))
        }
        if silent:
            who = ", ".join(f"{w.process}{_state(w)}" for w in silent.values())
            return (
                f"{_ranks(silent)}: expected a sign of life every {BEAT_S:g} s, got none for"
                f" {limit_s:g} s ({who}), so all workers were stopped; continue it, or give"
                " --timeout more"
            )
        started = any(w.marks for w in self.ranks.values())
        still_s = limit_s if started else max(limit_s, START_S)
        if all(now_s - w.moved_s > still_s for w in self.ranks.values()):
            return (
                f"workers: expected progress within {limit_s:g} s, got none though all of them"
                " answer, so they were stopped; give --timeout more if a step takes that long"
            )
        return ""

    def lost(self, rank: int) -> str:
        """Say that the process of ``rank`` is gone."""
        return (
            f"rank {rank}: expected to run to the end, but {self.ranks[rank].process} was killed or"
            " has crashed, so all workers were stopped; see that memory suffices, and run again,"
            " with --resume where checkpoints were kept"
        )


class Watch:
    """A thread that looks at processes and at the clock, and ends the run at the first fault.

    Entered before the workers are started, so that they find their pipes.
    """

    def __init__(self, listener: Listener, folder: Path) -> None:
        self.listener = listener
        self._folder = folder
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._wake = os.eventfd(0) if self._epoll else -1
        """Ends a wait for processes at once when the run is over."""
        self._pipes: dict[int, int] = {}
        """Rank at the other end of each pipe."""
        self._stop: Callable[[], None] = lambda: None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.fault = ""

    def __enter__(self) -> "Watch":
        for rank in self.listener.ranks:
            path = self._folder / f"{ALIVE}.{rank}"
            with contextlib.suppress(OSError):  # a file system without pipes
                os.mkfifo(path)
                self._pipes[os.open(path, os.O_RDONLY | os.O_NONBLOCK)] = rank
        if self._epoll:
            for fd in (*self._pipes, self._wake):
                self._epoll.register(fd, select.EPOLLIN)
        return self

    def begin(self, stop: Callable[[], None]) -> None:
        """Watch from now on, and call ``stop`` when there is a fault."""
        self._stop = stop
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        if self._epoll:
            os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        if not self.fault:
            self._look(0)  # the launcher may have ended before the thread had looked again
        for fd in self._pipes:
            os.close(fd)
        if self._epoll:
            self._epoll.close()
            os.close(self._wake)

    def _run(self) -> None:
        while not self._ended.is_set() and not self.fault:
            if not self._look(TICK_S):
                self.fault = self.listener.complaint(time.monotonic())
        if self.fault:
            self._stop()

    def _look(self, wait_s: float) -> bool:
        """Wait until a process ends; note the fault if it had no leave to. Return whether any."""
        if self._epoll is None:
            self._ended.wait(wait_s)
            return False
        ended = [fd for fd, _ in self._epoll.poll(wait_s) if fd != self._wake]
        if ended and not (self._folder / RESULT).exists():
            self.fault = self._why([self._pipes[fd] for fd in ended])
        else:
            for fd in ended:  # they have done their work
                self._epoll.unregister(fd)
        return bool(ended)

    def _why(self, dead: list[int]) -> str:
        """Return what ended a run of which ``dead`` have gone, in this order."""
        found = faults(self._folder) or self.listener.faults
        reported = {int(fault["rank"]) for fault in found}
        lost = [rank for rank in dead if rank not in reported]
        if not lost or any(fault["kind"] != "WorkerLost" for fault in found):
            return REPORTED  # one of them has said why, the others went with it
        return self.listener.lost(lost[0])


def hold_alive(folder: Path, rank: int) -> None:
    """Hold this worker's pipe, where the watcher is on this host, above all other descriptors.

    The files of a process that dies are released last in, first out (Linux since 4.3: task_work
    without a guarantee of order), so the highest descriptor goes before the launcher's socket.
    """
    with contextlib.suppress(OSError):
        fd = os.open(folder / f"{ALIVE}.{rank}", os.O_WRONLY | os.O_NONBLOCK)
        fcntl.fcntl(fd, fcntl.F_DUPFD, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1024) - 1)
        os.close(fd)


def _ranks(ranks: dict[int, Heard]) -> str:
    names = ", ".join(map(str, ranks))
    return f"rank {names}" if len(ranks) == 1 else f"ranks {names}"


def _state(worker: Heard) -> str:
    """Say that a process of this host is stopped, which the system knows."""
    if not worker.pid or worker.host != socket.gethostname():
        return ""
    try:
        state = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return ", stopped by a signal" if state in "Tt" else ""

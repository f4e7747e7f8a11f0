"""What the input of a run cost: waiting by step, busy processes, bytes of file and of device."""

import os
import time
from pathlib import Path
from typing import Any

from runtime.bind import Worker


class Meter:
    """Looks at one rank at the start of each step; what is before step ``first`` does not count."""

    def __init__(self, worker: Worker, first: int) -> None:
        self.first = first
        self._worker = worker
        self._stall_ns: list[int] = []
        self._begin: dict[str, Any] = {}
        self._end: dict[str, Any] = {}

    def at(self, step: int) -> None:
        """Note how things are when ``step`` begins."""
        if step >= self.first:
            self._stall_ns.append(self._worker.stall_ns)
        if step == self.first:
            self._begin = self._facts()
        self._end = {"ns": time.perf_counter_ns()}

    def found(self) -> dict[str, Any]:
        """Return what has been since: seconds, bytes, and (firings, busy seconds) by process."""
        end = self._facts() | self._end
        begin = self._begin
        stall = [(b - a) / 1e9 for a, b in zip(self._stall_ns, self._stall_ns[1:], strict=False)]
        return {
            "wall_s": (end["ns"] - begin["ns"]) / 1e9,
            "stall_s": stall,
            "bytes": {name: end["io"][name] - n for name, n in begin["io"].items()},
            "processes": {
                name: (n - begin["counters"][name][0], (ns - begin["counters"][name][1]) / 1e9)
                for name, (n, ns) in end["counters"].items()
            },
        }

    def _facts(self) -> dict[str, Any]:
        feed = self._worker.feed
        return {
            "ns": time.perf_counter_ns(),
            "io": bytes_read(feed.reader_pid if feed else os.getpid()),
            "counters": feed.counters() if feed else {},
        }


def bytes_read(pid: int) -> dict[str, int]:
    """Return the bytes that a process has read, and those of them that a device had to give.

    ``rchar`` and ``read_bytes`` of Linux's /proc; empty on other systems.
    """
    try:
        lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    except OSError:
        return {}
    rows = dict(line.split(": ") for line in lines)
    return {"read_bytes": int(rows["rchar"]), "device_bytes": int(rows["read_bytes"])}

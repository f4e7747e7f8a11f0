"""What workers tell the process that started them: lines on their standard output.

Lines travel the way that any launcher gives them, from any host. Every worker says once who it is,
then at every beat how many marks it has passed (a step, an op timed), so the listener knows both
who is alive and who gets on; rank 0 also says how far the job is. A beat comes from a thread of its
own: it goes on while the worker waits for a peer, and ends when the worker is stopped.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

PREFIX = "foreplan-worker "
BEAT_S = 1.0
PROGRESS_S = 0.1
"""Least time between two lines of progress."""

Tell = Callable[[dict[str, object]], None]


def tell_parent(facts: dict[str, object]) -> None:
    """Say ``facts`` in one line, in one write, so that lines of ranks do not mix."""
    sys.stdout.flush()
    os.write(1, f"{PREFIX}{json.dumps(facts)}\n".encode())


def heard(line: str) -> dict[str, object] | None:
    """Return the facts of a line that a worker said; None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        facts = json.loads(line.removeprefix(PREFIX))
    except ValueError:  # cut by whatever carried it
        return None
    return facts if isinstance(facts, dict) else None


class Voice:
    """One worker's side; ``marks`` counts what it has passed."""

    def __init__(self, rank: int = 0, tell: Tell = lambda facts: None) -> None:
        self.rank = rank
        self.marks = 0
        self._tell = tell
        self._next = 0.0
        self._end = threading.Event()

    def start(self, beat_s: float) -> None:
        """Say who this is, and begin to beat."""
        self._tell({"rank": self.rank, "pid": os.getpid(), "host": socket.gethostname()})
        threading.Thread(target=self._beat, args=(beat_s,), daemon=True).start()

    def stop(self) -> None:
        """Beat no more."""
        self._end.set()

    def mark(self) -> None:
        """Note that something has been passed."""
        self.marks += 1

    def at(self, done: int, total: int) -> None:
        """Say, for all ranks, that ``done`` of ``total`` is done: rank 0, ten times a second."""
        self.marks += 1
        now = time.monotonic()
        if self.rank == 0 and (now >= self._next or done == total):
            self._next = now + PROGRESS_S
            self._tell({"done": done, "total": total})

    def _beat(self, beat_s: float) -> None:
        while not self._end.wait(beat_s):
            self._tell({"rank": self.rank, "marks": self.marks})

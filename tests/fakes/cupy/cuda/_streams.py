"""Streams whose work is done when somebody waits, or asks whether it is: some, in any order."""

import random
import threading
import time
from collections import deque

LOCK = threading.RLock()
STREAMS: list["Stream"] = []
RNG = random.Random(0)
LOCAL = threading.local()
STUCK_S = 20


class Stream:
    """Work in order; ``put`` takes what returns whether it is done, and is asked until it is."""

    def __init__(self, null=False, non_blocking=False, priority=None):
        self.work = deque()
        self.ptr = len(STREAMS) + 1
        with LOCK:
            STREAMS.append(self)

    def put(self, work):
        with LOCK:
            self.work.append(work)

    def use(self):
        LOCAL.stream = self
        return self

    def __enter__(self):
        LOCAL.before = [*getattr(LOCAL, "before", []), current()]
        return self.use()

    def __exit__(self, *_):
        LOCAL.before.pop().use()

    def wait_event(self, event):
        recorded = event.records
        self.put(lambda: event.done_records >= recorded)

    def synchronize(self):
        wait(lambda: not self.work)


class Event:
    """A place in a stream; recorded again, it is the new place that counts."""

    def __init__(self, block=False, disable_timing=False):
        self.records = self.done_records = 0
        self.at_s = None

    def record(self, stream=None):
        self.records += 1
        number = self.records

        def happened():
            self.done_records, self.at_s = max(self.done_records, number), time.perf_counter()
            return True

        (stream or current()).put(happened)

    @property
    def done(self):
        progress(3)
        return self.done_records >= self.records

    def synchronize(self):
        wait(lambda: self.done_records >= self.records)


def current():
    """The stream of this thread."""
    if not hasattr(LOCAL, "stream"):
        LOCAL.stream = NULL
    return LOCAL.stream


def progress(most):
    """Do some work of some streams; whether any was done."""
    moved = False
    for _ in range(most):
        with LOCK:
            waiting = [stream for stream in STREAMS if stream.work]
            RNG.shuffle(waiting)
            for stream in waiting:
                if stream.work[0]():
                    stream.work.popleft()
                    moved = True
                    break
    return moved


def wait(until):
    """Do work until something is so."""
    since = time.monotonic()
    while not until():
        if progress(8):
            since = time.monotonic()
        elif time.monotonic() - since > STUCK_S:
            raise RuntimeError("streams wait for each other")
        else:
            time.sleep(0)


NULL = Stream()

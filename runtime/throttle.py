"""Reading at a stated rate: a token bucket that is never fuller than a millisecond's worth."""

import time
from collections.abc import Callable

BURST_S = 1e-3
"""How far reads may be ahead of the rate, which makes up for sleeps that last too long."""


class Throttle:
    """Make reads last as long as the rate says; 0 sets no limit."""

    def __init__(
        self,
        bytes_per_s: float,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._bytes_per_s = bytes_per_s
        self._now_s = now_s
        self._sleep = sleep
        self._due_s = now_s()

    def begin(self) -> None:
        """Note that a read begins: time in which nothing was read is lost, but for the burst."""
        self._due_s = max(self._due_s, self._now_s() - BURST_S)

    def end(self, size_bytes: int) -> None:
        """Sleep until the read of ``size_bytes`` that has begun may be done."""
        if not self._bytes_per_s:
            return
        self._due_s += size_bytes / self._bytes_per_s
        left_s = self._due_s - self._now_s()
        if left_s > 0:
            self._sleep(left_s)

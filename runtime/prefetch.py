"""Records of the next firing on their way while a device computes: two slots, one thread.

The thread reads into a slot's memory of the host and sends it; a firing takes what has come. So a
step waits for its input only where reading, or copying, takes longer than computing.
"""

import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Protocol, Self


class Slot(Protocol):
    """Room for the records of one firing, here and on the device."""

    host: Any

    def send(self) -> None:
        """Begin to copy to the device; ``host`` may be written again once this returns."""
        ...

    def take(self, raw: Any) -> None:
        """Copy into an array of the device, after all that it was given so far."""
        ...


class Prefetch:
    """Firings in order, each read ahead; a context manager that ends its thread."""

    def __init__(self, slots: Sequence[Slot], read: Callable[[int, Any], None]) -> None:
        """Take ``read(firing, out)``, which fills an array of the host."""
        self._slots = tuple(slots)
        self._read = read
        self._free = [threading.Semaphore(1) for _ in slots]
        self._ready = [threading.Semaphore(0) for _ in slots]
        self.fault: BaseException | None = None
        """What reading ended with, if it did."""
        self._ends = False
        self._next = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for firing in count():
            place = firing % len(self._slots)
            self._free[place].acquire()
            if self._ends:
                return
            try:
                self._read(firing, self._slots[place].host)
                self._slots[place].send()
            except BaseException as error:
                self.fault = error
                for ready in self._ready:
                    ready.release()
                return
            self._ready[place].release()

    def fetch(self, step: int, microbatch: int, raw: Any) -> None:
        """Fill ``raw`` with the records of the next firing, whatever its number."""
        del step, microbatch
        place = self._next % len(self._slots)
        self._ready[place].acquire()
        if self.fault is not None:
            raise self.fault
        self._slots[place].take(raw)
        self._next += 1
        self._free[place].release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Let the thread end; what it has read is dropped."""
        self._ends = True
        for free in self._free:
            free.release()
        self._thread.join()

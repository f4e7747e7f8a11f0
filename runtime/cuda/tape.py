"""What a kernel asks of an engine, kept, so that the host need not work it out in every step.

A bound op has the same arrays and settings in every step, so it launches the same work: what the
host does for it again and again would else take longer than the device does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runtime.cuda.engine import engine
from runtime.kernels import Kernel

Work = Callable[[], object]


class Taped:
    """An engine's part that does work and, while it is recorded, keeps it."""

    def __init__(self) -> None:
        self._tape: list[Work] | None = None
        self.moves = 0
        """How often workspace has moved: work recorded before names the old one."""

    def do(self, work: Work) -> None:
        """Do work that is the same whenever its op runs."""
        work()
        if self._tape is not None:
            self._tape.append(work)

    @contextmanager
    def recording(self) -> Iterator[list[Work]]:
        """Keep all that is done."""
        self._tape = []
        try:
            yield self._tape
        finally:
            self._tape = None


class Kept:
    """A kernel that asks for nothing new from firing to firing: recorded once, then done again."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._arrays: tuple[Any, ...] = ()
        self._works: list[Work] | None = None
        self._moves = 0

    def __call__(self, *arrays: Any, **settings: Any) -> None:
        """Run the kernel; arrays are those of the last time, or it is recorded anew."""
        own = engine()
        if self._works is not None and own.moves == self._moves and self._has(arrays):
            for work in self._works:
                work()
            return
        self._moves = own.moves
        with own.recording() as works:
            self._kernel(*arrays, **settings)
        self._works, self._arrays = works, arrays

    def _has(self, arrays: tuple[Any, ...]) -> bool:
        return all(a is b for a, b in zip(arrays, self._arrays, strict=True))

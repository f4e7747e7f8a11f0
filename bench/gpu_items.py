"""Items of `make gpu-check` in processes of their own, the next one started while one runs.

A process loads what it needs, which takes seconds but no GPU, and then waits for a line to begin.
The end of its input says that it is not wanted: so none waits for ever, whatever ends its parent.
"""

import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from types import FrameType
from typing import Self

OURS = ("cupy", "cupy_backends.cuda.libs.cublas", "cudnn", "runtime.cuda.device")
THEIRS = ("torch", "torch._dynamo")
"""PyTorch imports the latter when it makes an optimizer."""
STOPS = (signal.SIGTERM, signal.SIGHUP)


def load(*, on_gpu: bool) -> None:
    """Import what a case needs, without a context on the GPU.

    Our libraries go first: of two cuBLAS or cuDNN, the one loaded first serves all. What cannot be
    imported is told by whoever needs it.
    """
    for name in ("gpu_measure", *OURS * on_gpu, *THEIRS):
        with suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # else what was imported lengthens the collections of what is timed


def is_wanted() -> bool:
    """Wait for the word to begin; False when it cannot come any more."""
    return bool(sys.stdin.readline())


class Item:
    """One item in a process of its own, which waits; what it prints goes to a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.fault = ""
        self._log = log
        with log.open("w") as out:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # so that it ends together with all that it has started
            )

    def finish(self, limit_s: float) -> str:
        """Let it begin, and wait; return what went wrong, or nothing."""
        try:
            self._process.communicate("begin\n", timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.fault = f"took longer than {limit_s:.0f} s"
        if self._process.returncode:
            self.fault = f"exit {self._process.returncode}: {self._log.read_text()[-1500:]}"
        return self.fault

    def end(self) -> None:
        """End it, whatever it does; what it printed is left only of one that failed."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        if not self.fault:
            self._log.unlink(missing_ok=True)


class Ahead:
    """Runs items one by one, and keeps the next one waiting; leaves no process when it is left."""

    def __init__(self, start: Callable[[str], Item]) -> None:
        """Take what starts an item of a name."""
        self._start = start
        self._waiting: dict[str, Item] = {}
        self._usual = {number: signal.getsignal(number) for number in STOPS}

    def __enter__(self) -> Self:
        for number in STOPS:
            signal.signal(number, _stop)
        return self

    def __exit__(self, *_: object) -> None:
        for item in self._waiting.values():
            item.end()
        for number, usual in self._usual.items():
            signal.signal(number, usual)

    def run(self, name: str, limit_s: float, then: str = "") -> str:
        """Do one item within so many seconds, and start ``then``; return what went wrong."""
        item = self._waiting.pop(name, None) or self._start(name)
        try:
            if then:
                self._waiting[then] = self._start(then)
            return item.finish(limit_s)
        finally:
            item.end()


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def environment(folder: Path, *, one_thread: bool) -> dict[str, str]:
    """Return the environment of items.

    Bytecode is kept in ``folder`` where packages came without, as in some images: to compile all
    of PyTorch takes every process seconds.
    """
    found = dict(os.environ)
    if not all(map(_is_compiled, ("numpy", "cupy", "torch"))):
        found.pop("PYTHONDONTWRITEBYTECODE", None)
        found["PYTHONPYCACHEPREFIX"] = str(folder / "pycache")
    if one_thread:
        found |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return found


def _is_compiled(package: str) -> bool:
    """Whether the bytecode of a package is there, or the package is not."""
    spec = find_spec(package)
    return spec is None or not spec.origin or Path(cache_from_source(spec.origin)).exists()

"""Garbage collection in a process that does one thing and ends."""

import atexit
import gc

THRESHOLDS = (50_000, 20, 1_000)
"""Those of ``gc``: as many new objects are looked through at a time."""


def collect_seldom() -> None:
    """Look for cycles of objects seldom, and for none when the process ends.

    Modules, files and searches make many objects and few cycles: looking through them as often as
    Python does by itself, and taking them apart one by one at the end, is a third of the CPU time
    of a worker that has little to do, and a fifth of that of a short command.
    """
    gc.set_threshold(*THRESHOLDS)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)

"""Writing a file whole or not at all, and for good: temporary, fsync, rename."""

import os
from collections.abc import Iterable
from pathlib import Path


def replace_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write ``parts`` as ``replace_by_parts`` does."""
    replace_by_parts(path, parts)


def replace_by_parts(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write beside ``path``, reach the disk, then take its name: readers see old or new.

    Raises
    ------
    OSError
        What the system said; ``path`` is then as it was, and nothing is left beside it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

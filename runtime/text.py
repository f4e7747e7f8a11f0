"""Text as record files of bytes: sources of Python's standard library, or files of one's own.

A record is some bytes of one file and the byte that follows them: what a model reads, and what it
is to predict, one place on.
"""

import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hwprofiles.errors import RecordError
from hwprofiles.units import MIB
from runtime.record_header import Bytes
from runtime.record_writer import write_records

CLASSES = 256
TOKENS = 64
"""Bytes that a sample shows, as ``gpt-nano`` reads them."""
MOST_BYTES = 4 * MIB
TEST_RECORDS = 512
"""Records of the test, at most, and at most a tenth of all."""


def library_sources() -> list[Path]:
    """Return the modules that lie at the top of Python's standard library, by name."""
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def write_text(
    folder: Path, files: Sequence[Path] = (), tokens: int = TOKENS, seed: int = 0
) -> tuple[Path, Path]:
    """Write ``text-train.rec`` and ``text-test.rec`` into ``folder`` and return their paths.

    Files come in an order drawn from ``seed``, up to 4 MiB of them, cut into records that do not
    overlap and are then shuffled; the last ones are the test. The same files and seed write the
    same bytes.

    Parameters
    ----------
    folder : Path
    files : sequence of Path
        None: the sources of the standard library.
    tokens : int
        Bytes that a sample shows; a record has one more.
    seed : int

    Raises
    ------
    RecordError
        When a file cannot be read, there is too little text, or the folder cannot be written.
    """
    chosen = list(files) or library_sources()
    rng = np.random.default_rng(seed)
    records = _records([chosen[i] for i in rng.permutation(len(chosen))], tokens + 1)
    rng.shuffle(records)
    if len(records) < 2:
        raise RecordError(
            f"text: expected at least 2 records of {tokens + 1} bytes in {len(chosen)} files, got"
            f" {len(records)}; give longer files or fewer tokens a sample"
        )
    cut = len(records) - min(TEST_RECORDS, max(1, len(records) // 10))
    paths = folder / "text-train.rec", folder / "text-test.rec"
    for path, part in zip(paths, (records[:cut], records[cut:]), strict=True):
        write_records(path, part[:, 1:], part[:, 0], classes=CLASSES, seed=seed)
    return paths


def _records(files: Sequence[Path], size: int) -> Bytes:
    """Return what fills whole records of each file, in order, shape (records, size)."""
    found, total = [], 0
    for path in files:
        try:
            text = np.frombuffer(path.read_bytes()[: MOST_BYTES - total], np.uint8)
        except OSError as error:
            raise RecordError(
                f"text: {path}: expected a file to read, got {error.strerror}; check the path"
            ) from error
        found.append(text[: len(text) // size * size].reshape(-1, size))
        total += len(text)
    return np.concatenate(found)

"""Record files of random bytes in any shape: for throughput, not for learning."""

import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import numpy as np

from hwprofiles.errors import RecordError
from hwprofiles.units import MIB
from planner.model import label_bytes
from runtime.digits import TRAIN_FRAC
from runtime.records import Bytes, packed_records, write_blocks

BLOCK_BYTES = 8 * MIB
"""Drawn and written at a time."""
Progress = Callable[[int, int], None]


def write_synthetic(
    folder: Path,
    shape: tuple[int, ...],
    classes: int,
    count: int,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, Path]:
    """Write ``count`` random samples with random labels, 80 % to train on, and return both paths.

    The same arguments write the same bytes. ``progress`` hears of bytes done, each counted twice:
    they are drawn for the hash in the header and again for the file.

    Raises
    ------
    RecordError
        When the disk has no room, or the folder cannot be written.
    """
    record_bytes = label_bytes(classes) + prod(shape)
    total, free = count * record_bytes, shutil.disk_usage(folder).free
    if total > free:
        raise RecordError(
            f"{folder}: expected room for {total} bytes of records, got {free}; name another folder"
            " or write fewer"
        )
    name = f"synthetic-{'x'.join(map(str, shape))}-{classes}"
    paths = folder / f"{name}-train.rec", folder / f"{name}-test.rec"
    cut = max(1, min(count - 1, int(TRAIN_FRAC * count)))
    done = 0

    def blocks(part: int, records: int) -> Iterator[Bytes]:
        nonlocal done
        rng = np.random.default_rng([seed, part])
        most = max(1, BLOCK_BYTES // record_bytes)
        for first in range(0, records, most):
            samples = rng.integers(0, 256, (min(most, records - first), prod(shape)), np.uint8)
            labels = rng.integers(0, classes, len(samples))
            block = packed_records(samples, labels, classes)
            yield block
            done += block.nbytes
            progress(done, 2 * total)

    for part, (path, records) in enumerate(zip(paths, (cut, count - cut), strict=True)):
        write_blocks(
            path,
            lambda part=part, records=records: blocks(part, records),  # type: ignore[misc]
            sample_shape=shape,
            classes=classes,
            seed=seed,
            full_scale=255,
        )
    return paths

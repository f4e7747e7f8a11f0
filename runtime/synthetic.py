"""Record files of random samples, of any shape or as a model of text takes them: for throughput.

There is nothing to learn in them.
"""

import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hwprofiles.errors import RecordError
from hwprofiles.units import MIB
from planner.model import ModelGraph, label_bytes
from planner.opcall import DTYPE_BYTES
from planner.steps import record_limits
from runtime.digits import TRAIN_FRAC
from runtime.record_header import Bytes
from runtime.record_writer import packed_records, write_blocks

BLOCK_BYTES = 8 * MIB
"""Drawn and written at a time."""
Progress = Callable[[int, int], None]
Draw = Callable[[np.random.Generator, int], Bytes]
"""Draws so many records as they lie in a file."""


def write_synthetic(
    folder: Path,
    shape: tuple[int, ...],
    classes: int,
    count: int,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    full_scale: int = 255,
) -> tuple[Path, Path]:
    """Write ``count`` random samples with random labels, 80 % to train on, and return both paths.

    The same arguments write the same bytes. ``progress`` hears of bytes done, each counted twice:
    they are drawn for the hash in the header and again for the file.

    Raises
    ------
    RecordError
        When the disk has no room, or the folder cannot be written.
    """

    def draw(rng: np.random.Generator, records: int) -> Bytes:
        samples = rng.integers(0, full_scale + 1, (records, prod(shape)), np.uint8)
        return packed_records(samples, rng.integers(0, classes, records), classes)

    header = {"sample_shape": shape, "classes": classes, "full_scale": full_scale}
    size_bytes = label_bytes(classes) + prod(shape)
    return _write(folder, "", header, draw, (count, size_bytes), seed, progress)


def write_synthetic_text(
    folder: Path,
    model: ModelGraph,
    count: int,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, Path]:
    """Write ``count`` records of random tokens, positions and labels that ``model`` knows.

    As ``write_synthetic``.
    """
    limits, item_bytes = record_limits(model), DTYPE_BYTES[model.record_dtype]

    def draw(rng: np.random.Generator, records: int) -> Bytes:
        numbers = rng.integers(0, limits, (records, len(limits)))
        return numbers.astype(f"<u{item_bytes}").view(np.uint8)

    header = {
        "sample_shape": model.record_shape,
        "classes": model.classes,
        "full_scale": model.full_scale,
        "dtype": model.record_dtype,
        "labels": model.record_labels,
    }
    sizes = (count, model.record_bytes)
    return _write(folder, f"-{model.record_dtype}", header, draw, sizes, seed, progress)


def _write(
    folder: Path,
    ending: str,
    header: dict[str, Any],
    draw: Draw,
    sizes: tuple[int, int],
    seed: int,
    progress: Progress,
) -> tuple[Path, Path]:
    """Write the two files of ``sizes``: records, and bytes of one."""
    count, record_bytes = sizes
    total, free = count * record_bytes, shutil.disk_usage(folder).free
    if total > free:
        raise RecordError(
            f"{folder}: expected room for {total} bytes of records, got {free}; name another folder"
            " or write fewer"
        )
    name = f"synthetic-{'x'.join(map(str, header['sample_shape']))}-{header['classes']}{ending}"
    paths = folder / f"{name}-train.rec", folder / f"{name}-test.rec"
    cut = max(1, min(count - 1, int(TRAIN_FRAC * count)))
    done = 0

    def blocks(part: int, records: int) -> Iterator[Bytes]:
        nonlocal done
        rng = np.random.default_rng([seed, part])
        most = max(1, BLOCK_BYTES // record_bytes)
        for first in range(0, records, most):
            block = draw(rng, min(most, records - first))
            yield block
            done += block.nbytes
            progress(done, 2 * total)

    for part, (path, records) in enumerate(zip(paths, (cut, count - cut), strict=True)):
        write_blocks(
            path,
            lambda part=part, records=records: blocks(part, records),  # type: ignore[misc]
            seed=seed,
            **header,
        )
    return paths

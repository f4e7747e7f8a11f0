"""Record files, written whole or not at all."""

import hashlib
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import RecordError
from planner.model import label_bytes
from runtime.files import replace_by_parts
from runtime.record_header import MOST_CLASSES, Bytes, RecordHeader, packed_header


def write_records(
    path: Path,
    samples: Bytes,
    labels: npt.NDArray[np.integer],
    classes: int,
    seed: int,
    full_scale: int = 255,
) -> RecordHeader:
    """Write a record file, whole or not at all, and return its header.

    Parameters
    ----------
    path : Path
    samples : uint8 array, shape (n, ...)
    labels : int array, shape (n,)
        Each from 0 to ``classes - 1``.
    classes : int
        Number of classes, at most 65,536.
    seed : int
        What the order of the samples was drawn from; kept in the header.
    full_scale : int
        Byte of a sample that stands for 1.

    Raises
    ------
    RecordError
        When samples and labels do not fit together or the folder cannot be written.
    """
    count = len(samples)
    if samples.dtype != np.uint8 or labels.shape != (count,) or count == 0:
        raise RecordError(
            f"record file {path}: expected n > 0 uint8 samples and n labels, got"
            f" {samples.shape} {samples.dtype} and {labels.shape}; pass one label a sample"
        )
    if labels.min() < 0 or not labels.max() < classes <= MOST_CLASSES:
        raise RecordError(
            f"record file {path}: expected labels from 0 to {min(classes, MOST_CLASSES) - 1}, got"
            f" {labels.min()} to {labels.max()}; a label has at most two bytes"
        )
    body = packed_records(samples.reshape(count, -1), labels, classes)
    return write_blocks(
        path,
        lambda: [body],
        sample_shape=samples.shape[1:],
        classes=classes,
        seed=seed,
        full_scale=full_scale,
    )


def packed_records(samples: Bytes, labels: npt.NDArray[np.integer], classes: int) -> Bytes:
    """Return records as they lie in the file, from flat samples and their labels."""
    label = labels.astype(f"<u{label_bytes(classes)}")[:, None].view(np.uint8)
    return np.concatenate([label, samples], axis=1)


def write_blocks(
    path: Path,
    blocks: Callable[[], Iterable[Bytes]],
    **fields: Any,
) -> RecordHeader:
    """Write the records of ``blocks``, whole or not at all, and return the header of the file.

    Parameters
    ----------
    path : Path
    blocks : callable
        Gives the packed records block by block; called twice, for the hash stands before them.
    fields
        Of the header: those that do not follow from the records.

    Raises
    ------
    RecordError
        When the folder cannot be written.
    """
    digest, count, record_bytes = hashlib.sha256(), 0, 0
    for block in blocks():
        digest.update(block.data)
        count, record_bytes = count + len(block), block.shape[1]
    header = RecordHeader(
        count=count,
        record_bytes=record_bytes,
        sha256=digest.hexdigest(),
        **fields,
    )
    save_records(path, header, blocks())
    return header


def save_records(path: Path, header: RecordHeader, blocks: Iterable[Bytes]) -> None:
    """Write records as they shall lie in the file, whole or not at all.

    Raises
    ------
    RecordError
        When the folder cannot be written.
    """
    try:
        replace_by_parts(path, chain([packed_header(header)], (block.data for block in blocks)))
    except OSError as error:
        raise RecordError(
            f"record file {path}: expected to write {header.count * header.size_bytes} bytes, got"
            f" {error.strerror}; choose a folder that exists and has room"
        ) from error

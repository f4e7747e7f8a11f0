"""Record files: labelled samples of one size, read by number.

Layout: 8 bytes ``foreplan``, the length of the header as little-endian uint32, the header as JSON,
zeros up to a multiple of 64, then the records: the label (one byte; for more than 256 classes two,
the lower first) and the sample, row by row. Records of text are numbers of one width, the lower
byte first: the labels and then the sample.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from errno import EISDIR
from itertools import chain
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwprofiles.errors import RecordError
from planner.model import label_bytes
from planner.plan import Source
from runtime.files import replace_by_parts

MAGIC = b"foreplan"
SCHEMA: Final = 1
ALIGNMENT = 64  # bytes; a cache line
MOST_CLASSES = 65536  # a label beside bytes has at most two
WIDTH_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4}
MAX_HEADER_BYTES = 65536  # a longer one is damage, not data
VERIFY_RECORDS = 1024  # read at a time when the whole file is checked

Bytes = npt.NDArray[np.uint8]

_LENGTH = struct.Struct("<I")


class RecordHeader(BaseModel):
    """What a record file says of itself."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    count: int = Field(ge=1)
    record_bytes: int = Field(ge=2)
    """Bytes of a record: the labels and the sample."""
    sample_shape: tuple[int, ...] = Field(strict=False)
    full_scale: int = Field(ge=1, le=255)
    """Byte of a sample that stands for 1."""
    classes: int = Field(ge=1)
    seed: int
    """Seed of the order of the records."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Hash of all records."""
    encoding: Literal["raw", "zlib"] = "raw"
    stored_bytes: int = Field(default=0, ge=0)
    """Bytes of a record in the file, where it is compressed."""
    dtype: Literal["uint8", "uint16", "uint32"] = "uint8"
    """Of the numbers of a sample; of text wider than a byte, of its labels too."""
    labels: int = Field(default=1, ge=1)
    """Before a sample."""

    @property
    def size_bytes(self) -> int:
        """Bytes from one record in the file to the next."""
        return self.stored_bytes or self.record_bytes

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        width = WIDTH_BYTES[self.dtype]
        most = 1 << 8 * max(2, width)
        if self.classes > most:
            raise ValueError(f"classes must be at most {most} beside {self.dtype} samples")
        label = self.labels * (width if width > 1 else label_bytes(self.classes))
        if self.record_bytes != label + width * prod(self.sample_shape):
            raise ValueError(
                f"record_bytes must be {label} + {f'{width} x ' if width > 1 else ''}the product of"
                f" {self.sample_shape}, got {self.record_bytes}"
            )
        return self


def _packed(header: RecordHeader) -> bytes:
    """Return the bytes before the first record."""
    fields = header.model_dump(by_alias=True, exclude_defaults=True) | {"schema": header.schema_}
    text = json.dumps(fields, sort_keys=True).encode()
    size = len(MAGIC) + _LENGTH.size + len(text)
    return MAGIC + _LENGTH.pack(len(text)) + text + bytes(-size % ALIGNMENT)


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
        replace_by_parts(path, chain([_packed(header)], (block.data for block in blocks)))
    except OSError as error:
        raise RecordError(
            f"record file {path}: expected to write {header.count * header.size_bytes} bytes, got"
            f" {error.strerror}; choose a folder that exists and has room"
        ) from error


class RecordFile:
    """An open record file, complete from construction on; a context manager.

    Raises
    ------
    RecordError
        When the file is missing, is no record file, has a wrong header or is cut short.
    """

    __slots__ = ("_fd", "_start", "header", "path")

    path: Path
    header: RecordHeader

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.is_dir():  # which can be opened, and not be read
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
            self._fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise RecordError(
                f"record file {path}: expected a readable file, got {error.strerror}; write it"
                " first or correct the path"
            ) from error
        try:
            self.header, self._start = self._read_header()
            self._check_size()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def count(self) -> int:
        """Number of records."""
        return self.header.count

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read_into(self, first: int, out: Bytes) -> None:
        """Fill ``out`` with the records from number ``first`` on, cyclically.

        Parameters
        ----------
        first : int
            Number of the first record, taken modulo ``header.count``.
        out : uint8 array, shape (n, record_bytes), C-contiguous, written
            n is at most ``header.count``, so one read serves, or two around the end of the file.

        Raises
        ------
        RecordError
            When ``out`` does not fit the file, the file was cut since it was opened, or its records
            are compressed.
        """
        if self.header.encoding != "raw":
            raise self._error(
                "raw records",
                f"{self.header.encoding} ones",
                "only an input pipeline decodes them, see `foreplan input --help`",
            )
        self.read_stored(first, out)

    def read_stored(self, first: int, out: Bytes) -> None:
        """Fill ``out`` (n, size_bytes) as ``read_into`` does, with records as they are stored."""
        count, size = self.header.count, self.header.size_bytes
        if out.shape[1:] != (size,) or len(out) > count:
            raise self._error(
                f"reads of at most {count} records of {size} bytes",
                f"one of shape {out.shape}",
                "use a smaller microbatch or the file that the model was made for",
            )
        first %= count
        before_end = min(len(out), count - first)
        whole = out.reshape(-1, copy=False).data
        self._fill(self._start + first * size, whole[: before_end * size])
        if before_end < len(out):
            self._fill(self._start, whole[before_end * size :])

    def forget(self, first: int = 0, samples: int = 0) -> None:
        """Drop the file from the page cache, up to the end of such a read; all of it by default.

        What was read ahead of it stays. A system without ``posix_fadvise`` keeps everything.
        """
        if hasattr(os, "posix_fadvise"):
            end = (first % self.count + samples) * self.header.size_bytes
            length = self._start + end if samples else 0
            os.posix_fadvise(self._fd, 0, length, os.POSIX_FADV_DONTNEED)

    def drop(self) -> None:
        """Write the file to its device, then drop it from the page cache."""
        os.fsync(self._fd)
        self.forget()

    def verify(self) -> None:
        """Read all records; raise RecordError if their hash is not the header's."""
        count, digest = self.header.count, hashlib.sha256()
        block = np.empty((min(count, VERIFY_RECORDS), self.header.size_bytes), np.uint8)
        for first in range(0, count, VERIFY_RECORDS):
            part = block[: count - first]
            self.read_stored(first, part)
            for record in part if self.header.encoding == "zlib" else [part]:
                digest.update(zlib.decompress(record.data) if record.ndim == 1 else record.data)
        if digest.hexdigest() != self.header.sha256:
            raise self._error(
                f"records with sha256 {self.header.sha256}", digest.hexdigest(), "write it again"
            )

    def _error(self, expected: str, got: str, advice: str) -> RecordError:
        return RecordError(f"record file {self.path}: expected {expected}, got {got}; {advice}")

    def _fill(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` from ``offset``: one read, unless the system returns early."""
        while view:
            done = os.preadv(self._fd, [view], offset)
            if done == 0:
                raise self._error(
                    f"{len(view)} bytes at {offset}", "the end of the file", "write it again"
                )
            offset, view = offset + done, view[done:]

    def _read_header(self) -> tuple[RecordHeader, int]:
        """Return the header and the offset of the first record."""
        head = os.pread(self._fd, len(MAGIC) + _LENGTH.size, 0)
        if head[: len(MAGIC)] != MAGIC:
            raise self._error(
                f"the first bytes {MAGIC!r}",
                repr(head[: len(MAGIC)]),
                "name a file that foreplan wrote",
            )
        if len(head) < len(MAGIC) + _LENGTH.size:
            raise self._error("a header", f"{len(head)} bytes in all", "write it again")
        (length,) = _LENGTH.unpack_from(head, len(MAGIC))
        text = os.pread(self._fd, min(length, MAX_HEADER_BYTES + 1), len(head))
        if len(text) != length:
            raise self._error(f"a header of {length} bytes", f"{len(text)} bytes", "write it again")
        try:
            header = RecordHeader.model_validate_json(text)
        except ValidationError as error:
            problems = ", ".join(
                f"{'.'.join(map(str, x['loc'])) or 'header'}: {x['msg']}"
                for x in error.errors(include_url=False)
            )
            raise self._error(
                f"a header of schema {SCHEMA}", f"one with {problems}", "write it again"
            ) from error
        end = len(head) + length
        return header, end + -end % ALIGNMENT

    def _check_size(self) -> None:
        expected = self._start + self.header.count * self.header.size_bytes
        got = os.fstat(self._fd).st_size
        if got != expected:
            raise self._error(f"{expected} bytes", f"{got}", "it is damaged, write it again")


def check_source(records: RecordFile, source: Source, record_bytes: int) -> None:
    """Refuse a file whose records are not stored as the plan says.

    Raises
    ------
    RecordError
        Naming what differs.
    """
    header = records.header
    planned = (source.encoding, source.stored_bytes or record_bytes)
    if (header.encoding, header.size_bytes) != planned:
        raise RecordError(
            f"record file {records.path}: expected {planned[0]} records of {planned[1]} bytes, as"
            f" planned, got {header.encoding} ones of {header.size_bytes}; name the file that was"
            " planned for, or plan for this one with `foreplan input --data`"
        )

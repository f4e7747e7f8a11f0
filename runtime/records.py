"""Record files: labelled samples of one size, read by number."""

import hashlib
import os
import zlib
from errno import EISDIR
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from pydantic import ValidationError

from hwprofiles.errors import RecordError
from planner.plan import Source
from runtime.record_header import (
    ALIGNMENT,
    LENGTH,
    MAGIC,
    MAX_HEADER_BYTES,
    SCHEMA,
    Bytes,
    RecordHeader,
)

VERIFY_RECORDS = 1024  # read at a time when the whole file is checked


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
        head = os.pread(self._fd, len(MAGIC) + LENGTH.size, 0)
        if head[: len(MAGIC)] != MAGIC:
            raise self._error(
                f"the first bytes {MAGIC!r}",
                repr(head[: len(MAGIC)]),
                "name a file that foreplan wrote",
            )
        if len(head) < len(MAGIC) + LENGTH.size:
            raise self._error("a header", f"{len(head)} bytes in all", "write it again")
        (length,) = LENGTH.unpack_from(head, len(MAGIC))
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

"""The stages of the input pipeline: read, decode, copy. What a step's own load does in one."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.kernels import Array, load

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def read(stored: Bytes, *, fetch: Callable[[Bytes], object], cold: int = 0, disk: int = 0) -> None:
    """Let ``fetch`` fill ``stored`` (n, stored bytes) with records as they lie in the file.

    ``cold`` and ``disk`` say where they come from: part of the op's name, nothing to do here.
    """
    del cold, disk
    fetch(stored)


def decode(stored: Bytes, x: Array, labels: Labels, **shape: int) -> None:
    """Decode raw records to ``x`` and ``labels``, as a step's own load does."""
    _decode(x, labels, stored, shape)


def inflate(
    stored: Bytes, x: Array, labels: Labels, raw: Bytes, *, content: int = 0, **shape: int
) -> None:
    """Decompress records into ``raw`` (n, record bytes), then decode them.

    Each row of ``stored`` is one zlib stream and zeros after it. ``content`` is part of the op's
    name: what is compressed decides how long this takes.
    """
    del content
    for packed, record in zip(stored, raw, strict=True):
        record[:] = np.frombuffer(zlib.decompress(packed, bufsize=len(record)), np.uint8)
    _decode(x, labels, raw, shape)


def copy(*arrays: npt.NDArray[Any]) -> None:
    """Copy the first half of ``arrays`` into the second, one by one."""
    half = len(arrays) // 2
    for source, target in zip(arrays[:half], arrays[half:], strict=True):
        np.copyto(target, source)


def _decode(x: Array, labels: Labels, raw: Bytes, shape: dict[str, int]) -> None:
    """Decode tokens, or pixels, as the attributes say."""
    if "item_bytes" in shape:
        load.tokens(x, labels, raw, fetch=_is_there, **shape)  # type: ignore[arg-type]
    else:
        load.records(x, labels, raw, fetch=_is_there, **shape)


def _is_there(raw: Bytes) -> None:
    """Read nothing: the records have been read already."""

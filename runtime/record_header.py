"""What a record file says of itself, and how it is laid out.

Layout: 8 bytes ``foreplan``, the length of the header as little-endian uint32, the header as JSON,
zeros up to a multiple of 64, then the records: the label (one byte; for more than 256 classes two,
the lower first) and the sample, row by row. Records of text are numbers of one width, the lower
byte first: the labels and then the sample.
"""

import json
import struct
from math import prod
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from planner.model import label_bytes

MAGIC = b"foreplan"
SCHEMA: Final = 1
ALIGNMENT = 64  # bytes; a cache line
MOST_CLASSES = 65536  # a label beside bytes has at most two
WIDTH_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4}
MAX_HEADER_BYTES = 65536  # a longer one is damage, not data

Bytes = npt.NDArray[np.uint8]

LENGTH = struct.Struct("<I")


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


def packed_header(header: RecordHeader) -> bytes:
    """Return the bytes before the first record."""
    fields = header.model_dump(by_alias=True, exclude_defaults=True) | {"schema": header.schema_}
    text = json.dumps(fields, sort_keys=True).encode()
    size = len(MAGIC) + LENGTH.size + len(text)
    return MAGIC + LENGTH.pack(len(text)) + text + bytes(-size % ALIGNMENT)

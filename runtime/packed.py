"""Compressed record files: each record a zlib stream, all padded to one size, read by number."""

import zlib
from pathlib import Path

import numpy as np

from hwprofiles.errors import RecordError
from runtime.record_header import RecordHeader
from runtime.record_writer import save_records
from runtime.records import RecordFile


def pack_records(source: Path, target: Path, level: int = 6) -> RecordHeader:
    """Write the records of ``source`` to ``target``, compressed; return the new header.

    Padding keeps a record where its number says, and a read of many is one read. The hash in the
    header is still that of the records themselves.

    Raises
    ------
    RecordError
        When ``source`` is no record file of raw records, or ``target`` cannot be written.
    """
    with RecordFile(source) as records:
        if records.header.encoding != "raw":
            raise RecordError(
                f"record file {source}: expected raw records to compress, got"
                f" {records.header.encoding}; name the file that it was made of"
            )
        one = np.empty((1, records.header.record_bytes), np.uint8)
        streams = []
        for number in range(records.count):
            records.read_into(number, one)
            streams.append(zlib.compress(one.data, level))
        longest = max(map(len, streams))
        body = np.zeros((len(streams), longest), np.uint8)
        for row, stream in zip(body, streams, strict=True):
            row[: len(stream)] = np.frombuffer(stream, np.uint8)
        changes = {"encoding": "zlib", "stored_bytes": longest}
        header = records.header.model_copy(update=changes)
    save_records(target, header, [body])
    return header

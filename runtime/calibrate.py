"""Calibration: time ops, transfers and dispatch on all ranks at once."""

import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hwprofiles.calibration import Calibration
from hwprofiles.identity import Identity
from hwprofiles.units import MIB
from planner.jsonable import to_jsonable
from planner.opcall import OpCall
from planner.opsets import sentinels
from planner.records import parse_record
from runtime.backends import backend
from runtime.launch import TIMEOUT_S, Launch, launch
from runtime.record_writer import write_records
from runtime.records import RecordFile
from runtime.timing import (
    TRANSFER_BYTES,
    time_dispatch,
    time_op,
    time_sentinels,
    time_transfer,
)
from runtime.voice import Voice
from runtime.watch import Progress

SCRATCH_RECORDS, SCRATCH_BYTES = 4096, 64 * MIB
"""Records of the scratch file that loading is timed on, fewer where they are large."""


def calibrate(
    calls: Mapping[str, OpCall],
    identity: Identity,
    cores: Iterable[int],
    *,
    timeout_s: float = TIMEOUT_S,
    progress: Progress = lambda done, total: None,
    start: Launch = launch,
    records: Path | None = None,
) -> Calibration:
    """Time ``calls`` on ``identity.lanes`` workers at once; return what was measured.

    Reading is timed beside the record file ``records``, decompression on what is in it.
    """
    job = {
        "kind": "calibrate",
        "cores": list(cores),
        "identity": identity.to_dict(),
        "records": str(records.resolve()) if records else "",
        "calls": [to_jsonable(call) for call in calls.values()],
    }
    answer = start(job, identity.lanes, timeout_s=timeout_s, progress=progress)
    return parse_record(answer, Calibration, "calibration")


def calibrate_ranks(job: dict[str, Any], comm: Any, folder: Path, voice: Voice) -> Calibration:
    """Do the timing on this rank, together with all others."""
    calls = parse_record(job["calls"], tuple[OpCall, ...], "job")
    by = backend(job["identity"]["backend"])
    total = len(calls) + len(TRANSFER_BYTES)
    ops = {}
    records = Path(job["records"]) if job.get("records") else None
    with tempfile.TemporaryDirectory(dir=records.parent if records else folder) as scratch:
        for done, call in enumerate(calls):
            fetch = _fetch(call, Path(scratch), records)
            ops[call.signature] = time_op(call, comm, fetch, by, voice.mark)
            voice.at(done + 1, total)
    transfers = []
    if comm.size > 1:
        for done, size in enumerate(TRANSFER_BYTES):
            sample = time_transfer(size, comm)
            transfers += [sample] if sample else []
            voice.at(len(calls) + done + 1, total)
    comm.Barrier()
    dispatch = comm.allgather(time_dispatch())
    return Calibration(
        ops=ops,
        transfers=tuple(transfers),
        scalars={"launch_overhead_s": float(np.median(dispatch))},
        sentinels=time_sentinels(sentinels(), comm, by),
        context=dict(job["identity"]["context"]),
    )


def _fetch(
    call: OpCall, folder: Path, records: Path | None = None
) -> Callable[[Any], object] | None:
    """Return how an op of the input gets its bytes: from a scratch file of the right size."""
    if call.kernel == "input.read":
        return _read_stored(call, folder)
    if dict(call.attrs).get("content") and records:
        return partial(RecordFile(records).read_stored, 0)
    if call.kernel == "input.inflate":
        return partial(_fill_packed, call.work[0].shape[1])
    if not call.kernel.startswith("load."):
        return None
    microbatch, record_bytes = call.writes[-1].shape
    is_text = call.kernel == "load.tokens"
    shape = (record_bytes - 1,) if is_text else tuple(int(side) for _, side in call.attrs)
    classes = 10 if record_bytes == 1 + prod(shape) else 1000  # a label of one byte or of two
    count = max(microbatch, min(SCRATCH_RECORDS, SCRATCH_BYTES // record_bytes))
    path = folder / f"{'x'.join(map(str, shape))}-{classes}-{count}-{os.getpid()}.rec"
    if not path.exists():
        rng = np.random.default_rng(0)
        samples = rng.integers(0, 17, (count, *shape), dtype=np.uint8)
        write_records(path, samples, rng.integers(0, classes, count), classes, seed=0)
    written = RecordFile(path)
    at = [0]

    def fetch(raw: Any) -> None:
        written.read_into(at[0], raw)
        at[0] = (at[0] + len(raw)) % count

    return fetch


def _read_stored(call: OpCall, folder: Path) -> Callable[[Any], object]:
    """Return a read of the next records; one that shall be cold drops what it has read."""
    size, cold = call.writes[0].shape[1], bool(dict(call.attrs).get("cold"))
    path = folder / f"stored-{size}-{os.getpid()}.rec"
    if not path.exists():
        count = max(call.writes[0].shape[0], min(SCRATCH_RECORDS, SCRATCH_BYTES // size))
        samples = np.random.default_rng(0).integers(0, 256, (count, size - 1), dtype=np.uint8)
        write_records(path, samples, np.zeros(count, np.int64), classes=1, seed=0)
    records = RecordFile(path)
    if cold:
        records.drop()
    at = [0]

    def fetch(stored: Any) -> None:
        records.read_stored(at[0], stored)
        if cold:
            records.forget(at[0], len(stored))
        at[0] = (at[0] + len(stored)) % records.count

    return fetch


def _fill_packed(record_bytes: int, stored: Any) -> None:
    """Fill ``stored`` with streams of about its size that inflate to ``record_bytes``.

    Bytes are drawn from as many values as the size allows: most of a stream is then literals, as in
    that of a picture, rather than copies, which inflate faster.
    """
    rng = np.random.default_rng(0)
    for row in stored:
        streams = (
            zlib.compress(rng.integers(0, values, record_bytes, dtype=np.uint8).data)
            for values in (256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
        )
        stream = next(s for s in streams if len(s) <= len(row))
        row[: len(stream)] = np.frombuffer(stream, np.uint8)

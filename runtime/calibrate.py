"""Calibration: time ops, transfers and dispatch on all ranks at once."""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
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
from runtime.launch import TIMEOUT_S, Launch, launch
from runtime.records import RecordFile, write_records
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
) -> Calibration:
    """Time ``calls`` on ``identity.lanes`` workers at once; return what was measured."""
    job = {
        "kind": "calibrate",
        "cores": list(cores),
        "identity": identity.to_dict(),
        "calls": [to_jsonable(call) for call in calls.values()],
    }
    answer = start(job, identity.lanes, timeout_s=timeout_s, progress=progress)
    return parse_record(answer, Calibration, "calibration")


def calibrate_ranks(job: dict[str, Any], comm: Any, folder: Path, voice: Voice) -> Calibration:
    """Do the timing on this rank, together with all others."""
    calls = parse_record(job["calls"], tuple[OpCall, ...], "job")
    total = len(calls) + len(TRANSFER_BYTES)
    ops = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for done, call in enumerate(calls):
            ops[call.signature] = time_op(call, comm, _fetch(call, Path(scratch)))
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
        sentinels=time_sentinels(sentinels(), comm),
        context=dict(job["identity"]["context"]),
    )


def _fetch(call: OpCall, folder: Path) -> Callable[[Any], object] | None:
    """Return how a load op gets its bytes: from a scratch file of records of the right size."""
    if call.kernel != "load.records":
        return None
    microbatch, record_bytes = call.writes[-1].shape
    shape = tuple(int(side) for _, side in call.attrs)
    classes = 10 if record_bytes == 1 + prod(shape) else 1000  # a label of one byte or of two
    count = max(microbatch, min(SCRATCH_RECORDS, SCRATCH_BYTES // record_bytes))
    path = folder / f"{'x'.join(map(str, shape))}-{classes}-{count}-{os.getpid()}.rec"
    if not path.exists():
        rng = np.random.default_rng(0)
        samples = rng.integers(0, 17, (count, *shape), dtype=np.uint8)
        write_records(path, samples, rng.integers(0, classes, count), classes, seed=0)
    records = RecordFile(path)
    at = [0]

    def fetch(raw: Any) -> None:
        records.read_into(at[0], raw)
        at[0] = (at[0] + len(raw)) % count

    return fetch

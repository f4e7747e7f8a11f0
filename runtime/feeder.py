"""A process of the input pipeline: ``python -m runtime.feeder``, a reader or a decode worker.

Its job comes by its standard input. It sleeps until it has a credit, and ends when the other side
of a pipe is gone. What goes wrong it writes to its standard error, for the worker to say.
"""

import contextlib
import fcntl
import json
import os
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hwprofiles.errors import ForeplanError
from hwprofiles.garbage import collect_seldom
from planner.input_calls import InputCalls
from planner.plan import Source
from planner.registers import Register
from planner.rings import ring_views
from runtime.kernels import kernel
from runtime.order import Order
from runtime.ring import Ring, give, take
from runtime.throttle import Throttle

READER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederJob:
    """What one process does; descriptors are inherited."""

    worker: int
    """Which decode worker, or ``READER``."""
    workers: int
    cores: tuple[int, ...]
    """Where to run; anywhere if none are named, for the worker that starts this has one core."""
    first: int
    """Microbatch to begin with, counted from the first step of the training."""
    prefetch: int
    registers: tuple[Register, ...]
    ring: int
    """Descriptor of the shared memory."""
    takes: tuple[int, ...]
    """Reader: by decode worker, who frees ``stored``. Decode worker: ``stored`` is there, and the
    rank has freed what was decoded."""
    gives: tuple[int, ...]
    """Reader: by decode worker, ``stored`` is there. Decode worker: ``stored`` is free, and the
    microbatch is decoded."""
    calls: InputCalls
    path: Path
    order: Order
    source: Source


def read_on(job: FeederJob, ring: Ring) -> None:
    """Read microbatch after microbatch for the decode workers in turn, while credits come."""
    from runtime.records import RecordFile  # late: decode workers need not wait for it

    throttle, counter = Throttle(job.source.throttle_bytes_per_s), ring.counters[0]
    with RecordFile(job.path) as records:
        for firing in _from(job.first):
            turn, worker = divmod(firing, job.workers)
            if not take(job.takes[worker]):
                return
            stored = ring.array(ring_views(job.calls, worker, turn % job.prefetch)[0])
            first = job.order.of(firing)
            with _disk(records.fileno(), shared=job.order.workers > 1):
                start_ns = time.perf_counter_ns()
                throttle.begin()
                records.read_stored(first, stored)
                if job.source.cold:
                    records.forget(first, len(stored))
                throttle.end(stored.nbytes)
                counter += (1, time.perf_counter_ns() - start_ns)
            give(job.gives[worker])


@contextlib.contextmanager
def _disk(fd: int, *, shared: bool) -> Iterator[None]:
    """Have the disk to oneself: one read at a time, as the simulator's lane has it."""
    if not shared:
        yield
        return
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def decode_on(job: FeederJob, ring: Ring) -> None:
    """Decode every microbatch that is dealt to this worker, while credits come."""
    call, counter = job.calls.decode, ring.counters[1 + job.worker]
    work = [np.empty(tensor.shape, tensor.dtype) for tensor in call.work]
    views = [ring_views(job.calls, job.worker, slot) for slot in range(job.prefetch)]
    slots = [map(ring.array, found) for found in views]
    settings = dict((*call.attrs, *call.settings))
    fires = [partial(kernel(call.kernel), *arrays, *work, **settings) for arrays in slots]
    for firing in _from(job.first):
        turn, worker = divmod(firing, job.workers)
        if worker != job.worker:
            continue
        if not all(map(take, job.takes)):
            return
        start_ns = time.perf_counter_ns()
        fires[turn % job.prefetch]()
        counter += (1, time.perf_counter_ns() - start_ns)
        for fd in job.gives:
            give(fd)


def _from(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def main() -> None:
    """Do one job; end without a word when the worker that is fed has ended."""
    collect_seldom()
    job: FeederJob = pickle.load(sys.stdin.buffer)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores or range(os.cpu_count() or 1))
    ring = Ring(job.registers, 1 + job.workers, job.ring)
    try:
        with contextlib.suppress(BrokenPipeError):
            (read_on if job.worker == READER else decode_on)(job, ring)
    except ForeplanError as error:
        told = {"kind": type(error).__name__, "text": str(error)}
        print(json.dumps(told), file=sys.stderr, flush=True)  # noqa: T201 - its only voice
        sys.exit(1)


if __name__ == "__main__":
    main()

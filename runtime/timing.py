"""Timing one op, one transfer, one dispatch: medians of blocks, all ranks at once."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from hwprofiles.calibration import OpSample, TransferSample
from planner.opcall import OpCall
from runtime.actors import ActorLoop, Firing
from runtime.kernels import kernel

ROTATION_BYTES = 4 << 20
"""Buffers rotate over this much, so that an op finds its operands outside the nearest caches, as it
does inside a step; several times the L2 cache of a core."""
MOST_SETS = 64
BLOCK_S = 1e-3
"""A block of calls lasts at least this long, so that the clock's own cost does not count."""
BLOCKS = 11
TRANSFER_BYTES = (
    0,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    128 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
)
NULL_TASKS = 200

Clock = Callable[[], int]


def argument_sets(
    call: OpCall, fetch: Callable[[Any], object] | None = None
) -> list[Callable[[], object]]:
    """Return the op bound to several sets of random arrays; call them in turn."""
    rng = np.random.default_rng(0)
    set_bytes = sum(t.size_bytes for t in call.tensors)
    count = int(np.clip(ROTATION_BYTES // max(1, set_bytes), 1, MOST_SETS))
    settings: dict[str, Any] = dict((*call.attrs, *call.settings))
    if fetch is not None:
        settings["fetch"] = fetch
    bound: list[Callable[[], object]] = []
    for _ in range(count):
        arrays = []
        for tensor in call.tensors:
            array: Any = np.zeros(tensor.shape, dtype=tensor.dtype)
            if tensor.dtype.startswith("float"):
                array[...] = rng.standard_normal(tensor.shape) * 0.1
            arrays.append(array)
        bound.append(partial(kernel(call.kernel), *arrays, **settings))
    return bound


def time_op(call: OpCall, comm: Any, fetch: Callable[[Any], object] | None = None) -> OpSample:
    """Time one op on all ranks of ``comm`` at once; return the median over all their blocks.

    Every rank runs the same calls on its own arrays, so shared caches, clocks and memory are
    loaded as they are in a data-parallel step.
    """
    calls = argument_sets(call, fetch)
    for run in calls[:3]:
        run()
    start = time.perf_counter_ns()
    for run in calls:
        run()
    one_s = max((time.perf_counter_ns() - start) / len(calls) / 1e9, 1e-7)
    rounds = comm.bcast(max(1, round(BLOCK_S / one_s / len(calls))))
    comm.Barrier()
    seconds = []
    for _ in range(BLOCKS):
        start = time.perf_counter_ns()
        for _ in range(rounds):
            for run in calls:
                run()
        seconds.append((time.perf_counter_ns() - start) / 1e9 / (rounds * len(calls)))
    every = np.concatenate(comm.allgather(np.array(seconds)))
    low, median, high = np.percentile(every, (25, 50, 75))
    return OpSample(
        signature=call.signature,
        op_class=call.op_class,
        dtype=call.dtype,
        flop=call.flop,
        moved_bytes=call.moved_bytes,
        median_s=float(median),
        iqr_s=float(high - low),
        repeats=len(every),
    )


def time_transfer(payload_bytes: int, comm: Any) -> TransferSample | None:
    """Time one message between ranks 0 and 1 the way a step sends it; None on other ranks.

    Half of a there-and-back of persistent synchronous sends, both sides polling.
    """
    if comm.rank > 1:
        return None
    buffer = np.zeros(payload_bytes, dtype=np.uint8)
    peer = 1 - comm.rank
    send = comm.Ssend_init(buffer, peer, tag=1)
    receive = comm.Recv_init(buffer, peer, tag=1)
    turns = (send, receive) if comm.rank == 0 else (receive, send)
    rounds = max(10, min(200, (64 << 20) // max(1, payload_bytes)))
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for request in turns:
            request.Start()
            while not request.Test():
                pass
        seconds.append((time.perf_counter_ns() - start) / 2e9)
    for request in turns:
        request.Free()
    low, median, high = np.percentile(seconds[rounds // 10 :], (25, 50, 75))
    return TransferSample(
        payload_bytes=payload_bytes, median_s=float(median), iqr_s=float(high - low)
    )


def time_dispatch() -> float:
    """Seconds that the actor loop adds to one kernel: a chain of kernels that do nothing."""
    firings = [
        Firing(
            priority=1,
            fire=partial(_nothing, 1, 2, 3, setting=4),
            after=(i - 1,) if i else (),
            writes=(i % 8,),
            frees=(i - 1,) if i else (),
        )
        for i in range(NULL_TASKS)
    ]
    loop = ActorLoop(
        firings,
        slots=[2] * 8,
        item_register=[i % 8 for i in range(NULL_TASKS)],
        item_readers=[int(i + 1 < NULL_TASKS) for i in range(NULL_TASKS)],
        own_items=[(i,) for i in range(NULL_TASKS)],
    )
    seconds = []
    for _ in range(BLOCKS):
        start = time.perf_counter_ns()
        loop.run()
        seconds.append((time.perf_counter_ns() - start) / 1e9 / NULL_TASKS)
    # the call itself is inside every op's own time: only the loop around it is dispatch
    start = time.perf_counter_ns()
    for firing in firings:
        if firing.fire is not None:
            firing.fire()
    return max(0.0, float(np.median(seconds)) - (time.perf_counter_ns() - start) / 1e9 / NULL_TASKS)


def _nothing(*_arrays: object, **_settings: object) -> None:
    """A kernel that does nothing."""


def time_sentinels(calls: Mapping[str, OpCall], comm: Any) -> dict[str, tuple[float, ...]]:
    """Median seconds of each sentinel op on every rank, all ranks at once."""
    found = {}
    for signature, call in calls.items():
        bound = argument_sets(call)
        comm.Barrier()
        seconds = []
        for _ in range(3 * BLOCKS):
            start = time.perf_counter_ns()
            for run in bound:
                run()
            seconds.append((time.perf_counter_ns() - start) / 1e9 / len(bound))
        found[signature] = tuple(float(v) for v in comm.allgather(float(np.median(seconds))))
    return found

"""Timing one op, one transfer, one dispatch: medians of blocks, all ranks at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.calibration import OpSample, TransferSample
from planner.layer_calls import layer_calls
from planner.model import load_model
from planner.opcall import TRAINING_DTYPES, OpCall
from planner.opsets import FIT_REUSE_BYTES
from planner.registers import ALIGNMENT_BYTES
from runtime.actors import ActorLoop, Firing, Request
from runtime.arena import aligned, dtype_of
from runtime.backends import Backend, backend
from runtime.kernels import Stream, changing

BLOCKS = 11
CALLS = 4
"""Calls of an op in a block; a block's mean counts, and the median over blocks."""
WARM_UP = 3
LEAST_BLOCKS, OP_S = 3, 4.0
"""Blocks of an op that takes so long, sweeping included, that all of them would take more."""
COLD_BYTES = FIT_REUSE_BYTES
"""What is touched between two messages when they are timed: as much as between ops for curves."""
MOST_SWEPT_BYTES = 64 << 20
"""More than the own caches of a core. A step takes its slots again and again, so that what has left
those is in the shared one: swept by all the traffic of a step, steps of ResNet-20 and AlexNet on
CIFAR, in arenas of 29 and 37 MB, were predicted 22 and 9 % long; by so much, 10 and 1 %.
"""
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
TRANSFER_ROUNDS = 40
OTHERS = "lenet-5"
"""Model whose kernels stand for all else that a step runs between two firings."""
DISPATCH_SAMPLES, DISPATCH_STEPS = 32, 20
"""Samples of a step that the actor loop is timed in, and how often."""
SENTINEL_CALLS = 200
DRAWN = 1 << 20
"""Random values of an array, which repeat where it is larger."""


class Sweeper:
    """Touch so many bytes that caches forget what they held: half of it read, half written."""

    def __init__(self, touched_bytes: int) -> None:
        elements = min(touched_bytes, MOST_SWEPT_BYTES) // 16
        self._source = np.ones(elements)
        self._target = np.zeros(elements)

    def __call__(self) -> None:
        """Touch them."""
        np.add(self._source, 1.0, out=self._target)


def bound_call(
    call: OpCall,
    fetch: Callable[[Any], object] | None = None,
    by: Backend | None = None,
) -> tuple[partial[None], list[Any]]:
    """Return the op bound to random arrays, and those of them that are warm when it fires.

    They lie in one block, as registers do in an arena, each from a cache line on: across two lines
    a large product or convolution takes up to a fifth longer.
    ``by`` is the backend whose kernel it is; NumPy's by default.
    """
    rng = np.random.default_rng(0)
    ends = np.cumsum([-(-t.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES for t in call.tensors])
    block = aligned(int(ends[-1]))
    now = {"fetch": fetch, "stream": lambda: Stream(0, 0, 0, 0), "step": lambda: 0}
    settings: dict[str, Any] = dict((*call.attrs, *call.settings))
    settings |= {name: now[name] for name in changing(call.kernel)}
    arrays = []
    for tensor, first in zip(call.tensors, (0, *ends), strict=False):
        flat = block[first : first + tensor.size_bytes].view(dtype_of(tensor.dtype))
        array: Any = flat.reshape(tensor.shape)
        if tensor.dtype in TRAINING_DTYPES:
            repeat(rng.standard_normal(min(tensor.elements, DRAWN)) * 0.1, array)
            if tensor.name in ("scale", "exp_avg_sq"):  # sums of squares, whose roots are taken
                np.abs(array, out=array)
        elif tensor.below:
            array[...] = rng.integers(0, tensor.below, tensor.shape)
        arrays.append(array)
    if call.in_place:
        arrays[len(call.reads) + len(call.updates)] = arrays[call.over]
    if fetch is not None and call.reads:
        fetch(arrays[0])  # what a kernel decodes must be what it expects
    kernel = (by or backend("numpy")).device().kernel(call)
    run = partial(kernel, *arrays, **settings)
    return run, [arrays[i] for i in call.fresh]


def repeat(values: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Fill ``out`` with ``values``, over and over, in any dtype."""
    flat = out.reshape(-1, copy=False)
    for first in range(0, len(flat), len(values)):
        part = flat[first : first + len(values)]
        np.copyto(part, values[: len(part)], casting="unsafe")


def cooler(
    call: OpCall, fetch: Callable[[Any], object] | None = None, by: Backend | None = None
) -> Callable[[], None]:
    """Return what leaves the caches as a step does before it comes to the op.

    It touches ``call.reuse_bytes``, and data is gone; so is the code of a kind that ran long ago.
    Where another layer has just run it, the same op runs on arrays of its own, and other kernels
    after it, which leave its code in the larger caches only. An op that moves more than caches hold
    finds itself cold. One that nobody gives records cannot run elsewhere.
    """
    if call.moved_bytes > MOST_SWEPT_BYTES:
        return lambda: None
    if call.cold_code or (fetch is None and "fetch" in changing(call.kernel)):
        return Sweeper(call.reuse_bytes)
    elsewhere, _ = bound_call(call, fetch, by)
    sweep = Sweeper(call.reuse_bytes)
    rest = [fire for name, fire in dict(others(1, light=True)).items() if name != call.kernel]

    def cool() -> None:
        sweep()
        elsewhere()
        for other in rest:
            other()

    return cool


@cache
def others(samples: int, *, light: bool = False) -> tuple[tuple[str, Callable[[], object]], ...]:
    """Return the kernels of the layers of ``OTHERS`` by name, in step order, on their own arrays.

    Each has run: the first time is longer. ``light`` leaves out convolutions, for which a worker
    has to load a compiler; ops timed between the others take as long (within 3 %, either way).
    """
    layers = layer_calls(load_model(OTHERS), samples, "float32")
    calls = [call for layer in layers for call in layer.fired]
    calls = [call for call in calls if not (light and call.kind == "conv2d")]
    fires = tuple((call.kernel, bound_call(call)[0]) for call in calls)
    for _, fire in fires:
        fire()
    return fires


def time_op(
    call: OpCall,
    comm: Any,
    fetch: Callable[[Any], object] | None = None,
    by: Backend | None = None,
    passed: Callable[[], object] = lambda: None,
) -> OpSample:
    """Time one op on all ranks of ``comm`` at once; return the median over all their blocks.

    Between two calls every rank cools its caches (:func:`cooler`) and then writes again what the op
    before would have written, so that the op finds them as a step leaves them. A block's mean
    counts rather than its median, because what a step pays is the sum, rare slow calls included.
    ``passed`` is called after each.
    """
    run, fresh = bound_call(call, fetch, by)
    cool = cooler(call, fetch, by)
    over = [run.args[call.over]] if call.in_place else []
    kept = [array.copy() for array in over]  # a gate would else shrink it call by call
    for _ in range(WARM_UP):
        run()
    began = time.perf_counter()
    cool()
    run()
    longest_s = max(comm.allgather(time.perf_counter() - began))
    comm.Barrier()
    seconds = []
    for _ in range(max(LEAST_BLOCKS, min(BLOCKS, int(OP_S / (CALLS * longest_s))))):
        total_ns = 0
        for _ in range(CALLS):
            for array, values in zip(over, kept, strict=True):
                np.copyto(array, values)
            cool()
            for array in fresh:
                np.positive(array, out=array)
            start = time.perf_counter_ns()
            run()
            total_ns += time.perf_counter_ns() - start
        seconds.append(total_ns / 1e9 / CALLS)
        passed()
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

    A persistent synchronous send in the actor loop of both. Before it, either side has written its
    end, as a step writes gradients, and touched ``COLD_BYTES``; ranks take turns in sending. It
    lasts from when both have begun to when both have seen it complete, by the clock of the host.
    """
    pair = comm.Split(int(comm.rank > 1), comm.rank)
    if comm.rank > 1:
        return None
    buffer = np.zeros(payload_bytes, dtype=np.uint8)
    peer = 1 - comm.rank
    requests = (comm.Ssend_init(buffer, peer, tag=1), comm.Recv_init(buffer, peer, tag=1))
    loops = [message_loop([request]) for request in requests]
    rounds = TRANSFER_ROUNDS
    sweep = Sweeper(COLD_BYTES)
    times_ns = []
    for number in range(rounds):
        np.positive(buffer, out=buffer)
        sweep()
        pair.Barrier()
        loop = loops[(number + comm.rank) % 2]
        loop.run(traced=True)
        times_ns.append((loop.start_ns[0], loop.end_ns[0]))
    for request in requests:
        request.Free()
    start_ns, end_ns = np.max(pair.allgather(np.array(times_ns)), axis=0).T
    seconds = (end_ns - start_ns) / 1e9
    low, median, high = np.percentile(seconds[rounds // 10 :], (25, 50, 75))
    return TransferSample(
        payload_bytes=payload_bytes, median_s=float(median), iqr_s=float(high - low)
    )


def message_loop(requests: Sequence[Request]) -> ActorLoop:
    """Return an actor loop that has nothing but these messages to wait for, all at once."""
    firings = [Firing(priority=1, fire=None, request=request) for request in requests]
    return ActorLoop(
        firings, slots=(), item_register=(), item_readers=(), own_items=[()] * len(firings)
    )


def time_dispatch() -> float:
    """Seconds that the actor loop takes for each kernel beside what the kernel itself does.

    The kernels are those of a step, one behind the other: the loop finds its own code as cold as
    they leave it, which is half as fast as between kernels that do nothing.
    """
    firings = [
        Firing(
            priority=1,
            fire=fire,
            after=(i - 1,) if i else (),
            writes=(i % 8,),
            frees=(i - 1,) if i else (),
        )
        for i, (_, fire) in enumerate(others(DISPATCH_SAMPLES))
    ]
    tasks = len(firings)
    loop = ActorLoop(
        firings,
        slots=[2] * 8,
        item_register=[i % 8 for i in range(tasks)],
        item_readers=[int(i + 1 < tasks) for i in range(tasks)],
        own_items=[(i,) for i in range(tasks)],
    )
    seconds = []
    for _ in range(DISPATCH_STEPS):
        start_ns = time.perf_counter_ns()
        loop.run(traced=True)
        whole_ns = time.perf_counter_ns() - start_ns
        busy_ns = sum(loop.end_ns) - sum(loop.start_ns)
        seconds.append((whole_ns - busy_ns) / 1e9 / tasks)
    return float(np.median(seconds))


def time_sentinels(
    calls: Mapping[str, OpCall], comm: Any, by: Backend | None = None
) -> dict[str, tuple[float, ...]]:
    """Median seconds of each sentinel op on every rank, all ranks at once, caches warm."""
    found = {}
    for signature, call in calls.items():
        run, _ = bound_call(call, by=by)
        comm.Barrier()
        seconds = []
        for _ in range(SENTINEL_CALLS):
            start = time.perf_counter_ns()
            run()
            seconds.append((time.perf_counter_ns() - start) / 1e9)
        found[signature] = tuple(float(v) for v in comm.allgather(float(np.median(seconds))))
    return found

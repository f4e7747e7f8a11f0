"""Timing one op on a device: how long it takes there, and how long the host takes to issue it.

Argument sets are rotated, as many as exceed the caches together, for a step finds its operands as
cold. Calls of a block are queued behind a hold of the device, so that the device never waits for
the host between them; a host does its work when it is called and issues nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, prod
from typing import Any

import numpy as np

from hwprofiles.calibration import OpSample
from planner.opcall import DTYPE_BYTES, OpCall, Tensor
from runtime.arena import dtype_of, laid
from runtime.device import Device
from runtime.kernels import Stream, changing

PATTERN = np.random.default_rng(0).normal(0, 0.1, 1 << 18)
"""Values of operands: zeros would run faster, for they change no bit of a wire."""
WARM_UP, BLOCKS, MOST_CALLS = 2, 7, 64
BLOCK_S = 2e-3
"""Least length of a block, if so many calls make it."""
CACHE_BYTES = 128 << 20
"""More than the second-level cache of any GPU so far."""
MOST_SETS = 4
MAXIMA = {"max_pool.input_grad": "max_pool.forward"}
"""Ops that look for a maximum ``y`` of ``x``, where noise has none and ends the search at once: by
them, what makes ``y``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTime:
    """What was measured of one op."""

    sample: OpSample
    """On the device."""
    issue_s: float
    """Median time of the host to issue it; 0 on a host."""


def filled(device: Device, tensor: Tensor) -> Any:
    """Return an array of a tensor's shape and layout with plausible values."""
    count, name = prod(tensor.shape), "float32" if tensor.dtype == "tf32" else tensor.dtype
    flat = device.allocate(max(1, count * DTYPE_BYTES[name])).view(dtype_of(name))[:count]
    if tensor.dtype in ("uint8", "int64"):
        values = np.random.default_rng(0).integers(0, tensor.below or 2, min(count, PATTERN.size))
    else:
        values = np.resize(PATTERN, min(count, PATTERN.size))
        if tensor.name in ("scale", "exp_avg_sq"):  # sums of squares, whose roots are taken
            values = np.abs(values)
    have = len(values)
    if have:
        device.put(flat[:have], values.astype(np.float32 if name == "bfloat16" else name))
    while have < count:
        more = min(have, count - have)
        flat[have : have + more] = flat[:more]
        have += more
    return laid(flat, tensor.shape, device.order(tensor))


def bound(device: Device, call: OpCall) -> Callable[[], object]:
    """Return the op bound to arrays of its own; records are there already."""
    now = {
        "fetch": lambda raw: None,
        "stream": lambda: Stream(0, 0, 0, 0),
        "step": lambda: 0,
    }
    settings: dict[str, Any] = dict((*call.attrs, *call.settings))
    settings |= {name: now[name] for name in changing(call.kernel)}
    arrays = [filled(device, tensor) for tensor in call.tensors]
    if call.in_place:
        arrays[len(call.reads) + len(call.updates)] = arrays[call.over]
    if maker := MAXIMA.get(call.kernel):
        named = dict(zip((t.name for t in call.tensors), arrays, strict=True))
        x, y = (next(t for t in call.tensors if t.name == name) for name in "xy")
        made = replace(call, kernel=maker, reads=(x,), updates=(), writes=(y,), work=())
        device.kernel(made)(named["x"], named["y"], **dict(call.attrs))
    return partial(device.kernel(call), *arrays, **settings)


def time_call(device: Device, call: OpCall, *, blocks: int = BLOCKS) -> OpTime:
    """Time one op; the medians over blocks."""
    size = sum(tensor.size_bytes for tensor in call.tensors)
    sets = 1 if device.is_host else max(1, min(MOST_SETS, ceil(CACHE_BYTES / max(size, 1))))
    seconds, issues = time_runs(device, [bound(device, call) for _ in range(sets)], blocks)
    low, median, high = np.percentile(seconds, (25, 50, 75))
    return OpTime(
        sample=OpSample(
            signature=call.signature,
            op_class=call.op_class,
            dtype=call.dtype,
            flop=call.flop,
            moved_bytes=call.moved_bytes,
            median_s=max(float(median), 1e-9),
            iqr_s=float(high - low),
            repeats=blocks,
        ),
        issue_s=float(np.median(issues)),
    )


def time_runs(
    device: Device, runs: list[Callable[[], object]], blocks: int
) -> tuple[list[float], list[float]]:
    """Return seconds of a call on the device, and of the host to issue it, of each block."""
    for run in runs * WARM_UP:
        run()
    device.finish()
    once_s, issue_s = _block(device, runs, 2, hold_s=0.0)
    calls = max(1, min(MOST_CALLS, ceil(BLOCK_S / max(once_s, 1e-7))))
    pairs = [_block(device, runs, calls, hold_s=2 * calls * issue_s) for _ in range(blocks)]
    return [seconds for seconds, _ in pairs], [issued for _, issued in pairs]


def _block(
    device: Device, runs: list[Callable[[], object]], calls: int, *, hold_s: float
) -> tuple[float, float]:
    """Return seconds of a call on the device, and of the host to issue it."""
    if hold_s:
        device.hold(hold_s)
    begin, start = device.now(), time.perf_counter()
    for i in range(calls):
        runs[i % len(runs)]()
    issued, end = time.perf_counter() - start, device.now()
    device.finish()
    return end.seconds_since(begin) / calls, 0.0 if device.is_host else issued / calls

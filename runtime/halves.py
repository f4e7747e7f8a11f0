"""Halves on a core: kernels run in float32, on copies, but those that are written for halves.

The copies are kept from call to call, beside the arena. It is how a training in halves can be
followed on a host, not how it is fast: a core has no arithmetic in halves, and compiled kernels are
compiled for wider dtypes alone.
"""

from typing import Any

import numpy as np

from planner.opcall import OpCall
from planner.precision import HALVES
from runtime.kernels import Kernel

ABLE = ("adamw", "input", "load", "scaling", "sgd", "softmax_cross_entropy")
"""Files of kernels that take halves: all that deal with what is beside them, and with records."""


def needs_width(call: OpCall) -> bool:
    """Whether NumPy's kernel of a call must run in float32.

    >>> from planner.layer import Layer
    >>> layer = Layer(name="n", kind="layer_norm", in_shapes=((3, 4),))
    >>> [needs_width(layer.call("forward", 1, dtype)) for dtype in ("float16", "float32")]
    [True, False]
    """
    return call.dtype in HALVES and call.kernel.partition(".")[0] not in ABLE


def widened(run: Kernel, reads: int) -> Kernel:
    """Return a kernel that takes halves and computes in float32 what follows its first ``reads``.

    What it works on in place is read before it is written back.
    """
    rooms: list[Any] = []

    def run_wide(*arrays: Any, **settings: Any) -> None:
        if not rooms:
            rooms.extend(np.empty(a.shape, np.float32) if _is_half(a) else None for a in arrays)
        pairs = [(a, r) for a, r in zip(arrays, rooms, strict=True) if r is not None]
        for array, room in pairs:
            np.copyto(room, array)
        wide = (a if room is None else room for a, room in zip(arrays, rooms, strict=True))
        run(*wide, **settings)
        for array, room in zip(arrays[reads:], rooms[reads:], strict=True):
            if room is not None:
                np.copyto(array, room, casting="same_kind")

    return run_wide


def _is_half(array: Any) -> bool:
    return array.dtype.itemsize == 2 and array.dtype.kind in "fV"

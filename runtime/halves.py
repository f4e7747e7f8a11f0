"""Halves on a core: kernels that know no dtype of two bytes run in float32, on copies.

The copies are kept from call to call, beside the arena. It is how a training in halves can be
followed on a host, not how it is fast: a core has no arithmetic in halves.
"""

from typing import Any

import numpy as np

from planner.opcall import OpCall
from planner.precision import HALVES
from runtime.kernels import Kernel

WIDE = ("attention", "batch_norm", "conv2d", "layer_norm", "max_pool")
"""Files of kernels that are compiled, or contract by name, for wider dtypes alone."""


def needs_width(call: OpCall) -> bool:
    """Whether NumPy's kernel of a call must run in float32.

    >>> from planner.layer import Layer
    >>> layer = Layer(name="n", kind="layer_norm", in_shapes=((3, 4),))
    >>> [needs_width(layer.call("forward", 1, dtype)) for dtype in ("float16", "float32")]
    [True, False]
    """
    return call.dtype in HALVES and call.kernel.partition(".")[0] in WIDE


def widened(run: Kernel) -> Kernel:
    """Return a kernel that takes halves, and computes in float32 what it writes."""
    rooms: list[Any] = []

    def run_wide(*arrays: Any, **settings: Any) -> None:
        if not rooms:
            rooms.extend(np.empty(a.shape, np.float32) if _is_half(a) else None for a in arrays)
        wide = [a if room is None else room for a, room in zip(arrays, rooms, strict=True)]
        for array, room in zip(arrays, rooms, strict=True):
            if room is not None:
                np.copyto(room, array)
        run(*wide, **settings)
        # arguments are read before written, so what is worked on in place keeps what was written
        for array, room in zip(arrays, rooms, strict=True):
            if room is not None:
                np.copyto(array, room, casting="same_kind")

    return run_wide


def _is_half(array: Any) -> bool:
    return array.dtype.itemsize == 2 and array.dtype.kind in "fV"

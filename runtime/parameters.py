"""The parameters of a bound worker, one by one: set as plans begin, read as the model has them.

A device has them in its own order of axes, and halves have masters beside them.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, Tensor
from planner.plan import Training, parameter_offsets
from planner.precision import MASTERS, SCALING, first_scaling, has_masters, kept_dtype, scaling
from planner.program import View
from runtime.bind import Worker
from runtime.initial import initial_parameters

NUMPYS = {"float64": "float64"}
"""By dtype of a training: that of its first parameters; float32 where it is not said."""


def set_first(worker: Worker, model: ModelGraph, training: Training) -> None:
    """Write the first parameters, and what goes with them."""
    dtype = training.dtype
    first = initial_parameters(model, NUMPYS.get(dtype, "float32"), training.seed)
    for register, kind in _registers(dtype).items():
        for array, at in _arrays(worker, model, register, kind):
            worker.device.put(array, first[at : at + array.size].reshape(array.shape))
    if has_masters(dtype):
        state = np.array(first_scaling(dtype), kept_dtype(dtype))
        worker.device.put(worker.arena.view(scaling_view()), state)


def read(worker: Worker, model: ModelGraph, training: Training) -> npt.NDArray[np.floating[Any]]:
    """Return all parameters in one flat array of the host, by layer: masters where there are."""
    register, kind = list(_registers(training.dtype).items())[-1]
    found = np.empty(model.parameter_count, NUMPYS.get(training.dtype, "float32"))
    for array, at in _arrays(worker, model, register, kind):
        found[at : at + array.size] = worker.device.get(array).reshape(-1)
    return found


def scaling_view() -> View:
    """Return where the scale of the loss lies."""
    of = scaling()
    return View(register=SCALING, slot=0, offset_bytes=0, shape=of.shape, dtype=of.dtype)


def _registers(dtype: str) -> dict[str, str]:
    """Return the registers that hold parameters, and their dtypes; the exact ones last."""
    masters = {MASTERS: kept_dtype(dtype)} if has_masters(dtype) else {}
    return {"parameters": dtype} | masters


def _arrays(
    worker: Worker, model: ModelGraph, register: str, dtype: str
) -> Iterator[tuple[Any, int]]:
    """Yield the array of each parameter and its place among those of the model."""
    offsets, at = parameter_offsets(model), 0
    for i, layer in enumerate(model.layers):
        first = offsets.get(i, 0)
        for name, shape in layer.parameters.items():
            view = View(
                register=register,
                slot=0,
                offset_bytes=first * DTYPE_BYTES[dtype],
                shape=shape,
                dtype=dtype,
            )
            yield worker.arena.view(view, Tensor(name=name, shape=shape, dtype=dtype)), at
            first, at = first + prod(shape), at + prod(shape)

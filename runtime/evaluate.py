"""How good trained parameters are: the share of test records that they get right."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from planner.layer import INPUT
from planner.model import ModelGraph
from planner.opcall import OpCall
from planner.steps import load
from runtime.arena import Array
from runtime.kernels import kernel
from runtime.records import RecordFile

SAMPLES = 64
"""Samples at a time, which bounds the memory; rounded to whole norm groups."""

Arrays = dict[str, Array]


def accuracy(model: ModelGraph, dtype: str, parameters: Array, path: Path) -> float | None:
    """Return the share of records right; None where there is not one whole norm group of them.

    Records left over from the last norm group have no statistics of their own and do not count:
    batch statistics are those of the group here as in training. Layers that only training needs
    are left out.

    Parameters
    ----------
    model : ModelGraph
    dtype : str
    parameters : float array, shape (model.parameter_count,)
        In layer order.
    path : Path
        The record file of the test.

    Raises
    ------
    RecordError
        When the records are not those of the model.
    """
    group = model.norm_group
    most = max(1, SAMPLES // group) * group
    with RecordFile(path) as records:
        count = records.count - records.count % group
        hits = 0
        for first in range(0, count, most):
            samples = min(most, count - first)
            call = load(model, samples, dtype)
            loaded = _run(call, {}, fetch=lambda raw, at=first: records.read_into(at, raw))
            logits = _logits(model, samples, dtype, parameters, loaded["x"])
            hits += int(np.count_nonzero(logits.argmax(axis=1) == loaded["labels"]))
    return hits / count if count else None


def _logits(model: ModelGraph, samples: int, dtype: str, parameters: Array, x: Array) -> Array:
    """Run the layers forward; an output goes once nobody needs it any more."""
    values = {INPUT: x}
    left = Counter(name for layer in model.layers for name in layer.inputs)
    at = 0
    for layer in model.layers:
        given = {n: values[name] for n, name in zip(layer.input_names, layer.inputs, strict=True)}
        for name, shape in layer.parameters.items():
            size = int(np.prod(shape))
            given[name] = parameters[at : at + size].reshape(shape)
            at += size
        if layer.is_training_only:
            values[layer.name] = given["x"]
        else:
            values[layer.name] = _run(layer.call("forward", samples, dtype), given)["y"]
        left.subtract(layer.inputs)
        for name in {name for name in layer.inputs if not left[name]}:
            del values[name]
    return values[model.layers[-1].name]


def _run(call: OpCall, given: Arrays, **more: Any) -> Arrays:
    """Run one call on new arrays; return all its tensors by name."""
    arrays = given | {t.name: np.empty(t.shape, t.dtype) for t in (*call.writes, *call.work)}
    settings: dict[str, Any] = dict((*call.attrs, *call.settings))
    kernel(call.kernel)(*(arrays[t.name] for t in call.tensors), **settings, **more)
    return arrays

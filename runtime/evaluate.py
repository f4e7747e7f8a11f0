"""How good trained parameters are: loss, and the share of labels right, of the test records."""

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from hwprofiles.units import MIB
from planner.layer import INPUT, MODEL_INPUT
from planner.model import ModelGraph
from planner.opcall import OpCall
from planner.steps import load, loss
from runtime.arena import Array
from runtime.kernels import kernel
from runtime.records import RecordFile

SAMPLES = 64
"""Samples at a time, rounded to whole norm groups; fewer where the output of a layer is large."""
MOST_BYTES = 256 * MIB
"""Of one output."""

Arrays = dict[str, Array]


def evaluate(
    model: ModelGraph, dtype: str, parameters: Array, path: Path
) -> tuple[float | None, float | None]:
    """Return mean loss and share of labels right; None where there is not one whole norm group.

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
    largest = max(prod(layer.out_shape) for layer in model.layers) * np.dtype(dtype).itemsize
    most = max(1, min(SAMPLES, MOST_BYTES // largest) // group) * group
    by_layer = _by_layer(model, parameters)
    total = hits = 0.0
    with RecordFile(path) as records:
        count = records.count - records.count % group
        for first in range(0, count, most):
            samples = min(most, count - first)
            call = load(model, samples, dtype)
            loaded = _run(call, {}, fetch=lambda raw, at=first: records.read_into(at, raw))
            logits = _logits(model, samples, dtype, by_layer, loaded["x"])
            call = loss(model, samples, dtype, samples)
            given = zip((t.name for t in call.reads), (*logits, loaded["labels"]), strict=True)
            mean, right = _run(call, dict(given))["stats"]
            total += float(mean) * samples
            hits += float(right)
    return (total / count, hits / (count * model.labels)) if count else (None, None)


def _by_layer(model: ModelGraph, parameters: Array) -> list[Arrays]:
    """Return the parameters that each layer uses, its own and borrowed ones, by name."""
    found: list[Arrays] = []
    at = 0
    for layer in model.layers:
        views = {}
        for name, shape in layer.parameters.items():
            size = int(np.prod(shape))
            views[name] = parameters[at : at + size].reshape(shape)
            at += size
        found.append(views)
    for i, owner in model.lenders.items():
        found[i] = found[i] | {name: found[owner][name] for name in model.layers[i].borrowed}
    return found


def _logits(
    model: ModelGraph, samples: int, dtype: str, by_layer: Sequence[Arrays], x: Array
) -> list[Array]:
    """Run the layers forward; an output goes once nobody needs it any more."""
    values = dict.fromkeys((INPUT, MODEL_INPUT), x)
    left = Counter(name for layer in model.layers for name in layer.inputs)
    for layer, parameters in zip(model.layers, by_layer, strict=True):
        given = {n: values[name] for n, name in zip(layer.input_names, layer.inputs, strict=True)}
        if layer.is_training_only:
            values[layer.name] = given["x"]
        else:
            call = layer.call("forward", samples, dtype)
            values[layer.name] = _run(call, given | parameters)["y"]
        left.subtract(layer.inputs)
        for name in {name for name in layer.inputs if not left[name]}:
            del values[name]
    return [values[model.layers[i].name] for i in model.heads]


def _run(call: OpCall, given: Arrays, **more: Any) -> Arrays:
    """Run one call on new arrays; return all its tensors by name."""
    arrays = given | {t.name: np.empty(t.shape, t.dtype) for t in (*call.writes, *call.work)}
    settings: dict[str, Any] = dict((*call.attrs, *call.settings))
    kernel(call.kernel)(*(arrays[t.name] for t in call.tensors), **settings, **more)
    return arrays

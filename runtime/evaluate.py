"""How well a trained model does on records it has not seen."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner import steps
from planner.layer import INPUT, MODEL_INPUT
from planner.model import ModelGraph
from planner.opcall import OpCall
from planner.plan import parameter_offsets
from runtime.kernels import kernel
from runtime.records import RecordFile

MOST_SAMPLES = 512
"""Samples that are evaluated together, in whole norm groups."""

Arrays = dict[str, npt.NDArray[Any]]


def evaluate(
    model: ModelGraph, dtype: str, flat: npt.NDArray[Any], path: Path
) -> tuple[float, float]:
    """Return the mean loss of a record file and the share of its labels that are right.

    Parameters
    ----------
    model : ModelGraph
    dtype : str
    flat : float array, shape (model.parameter_count,)
        Parameters as they lie in the arena.
    path : Path
        Record file; what fills no norm group is left out, for it has no statistics of its own.
    """
    parameters = _by_layer(model, flat)
    group = model.norm_group
    loss = hits = 0.0
    with RecordFile(path) as records:
        total = records.count // group * group
        most = max(1, MOST_SAMPLES // group) * group
        for first in range(0, total, most):
            count = min(most, total - first)
            stats = _stats(model, dtype, parameters, records, first, count)
            loss += float(stats[0]) * count
            hits += float(stats[1])
    return loss / total, hits / (total * model.labels)


def _by_layer(model: ModelGraph, flat: npt.NDArray[Any]) -> list[Arrays]:
    """Return views of the parameters that each layer uses, its own and borrowed ones."""
    offsets = parameter_offsets(model)
    found: list[Arrays] = []
    for i, layer in enumerate(model.layers):
        at, views = offsets.get(i, 0), {}
        for name, shape in layer.parameters.items():
            size = int(np.prod(shape))
            views[name] = flat[at : at + size].reshape(shape)
            at += size
        found.append(views)
    for i, owner in model.lenders.items():
        found[i] = found[i] | {name: found[owner][name] for name in model.layers[i].borrowed}
    return found


def _stats(
    model: ModelGraph,
    dtype: str,
    parameters: list[Arrays],
    records: RecordFile,
    first: int,
    count: int,
) -> npt.NDArray[Any]:
    """Return the mean loss and the hits of ``count`` records."""
    load = steps.load(model, count, dtype)
    loaded = _run(load, {}, fetch=lambda raw: records.read_into(first, raw))
    values: Arrays = dict.fromkeys((INPUT, MODEL_INPUT), loaded["x"])
    last_reader = {name: layer.name for layer in model.layers for name in layer.inputs}
    for layer, own in zip(model.layers, parameters, strict=True):
        inputs = zip(layer.input_names, layer.inputs, strict=True)
        given = {tensor: values[name] for tensor, name in inputs}
        values[layer.name] = _run(layer.call("forward", count, dtype), given | own)["y"]
        for name in set(layer.inputs):  # a large test would not fit with all of them
            if last_reader[name] == layer.name:
                del values[name]
    logits = [values[model.layers[i].name] for i in model.heads]
    loss = steps.loss(model, count, dtype, count)
    reads = dict(zip((t.name for t in loss.reads), (*logits, loaded["labels"]), strict=True))
    return _run(loss, reads)["stats"]


def _run(call: OpCall, given: Arrays, **more: object) -> Arrays:
    """Run one op on arrays by name; return what it writes."""
    written = {t.name: np.zeros(t.shape, t.dtype) for t in call.writes}
    work = [np.empty(t.shape, t.dtype) for t in call.work]
    settings: dict[str, Any] = dict((*call.attrs, *call.settings)) | more
    kernel(call.kernel)(*(given[t.name] for t in call.reads), *written.values(), *work, **settings)
    return written

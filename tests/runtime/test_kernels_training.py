"""The kernels train: a plain loop over op calls on one process reaches the known accuracy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np
import pytest

from planner import steps
from planner.model import ModelGraph, load_model
from planner.opcall import OpCall
from planner.optimizer import update
from planner.plan import Training
from runtime.digits import write_digits
from runtime.initial import initial_parameters
from runtime.kernels import kernel
from runtime.records import RecordFile

pytestmark = pytest.mark.slow

BATCH = 64
EPOCHS = 4

Arrays = dict[str, np.ndarray]


def by_layer(flat: np.ndarray, model: ModelGraph, prefix: str = "") -> list[Arrays]:
    """Views of a flat array as the parameters (or gradients, ``prefix="d"``) of each layer."""
    start, views = 0, []
    for layer in model.layers:
        ends = {}
        for name, shape in layer.parameters.items():
            ends[prefix + name] = flat[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        views.append(ends)
    return views


@dataclass
class Loop:
    """One worker without a plan: it allocates what the op calls declare and runs them in turn."""

    model: ModelGraph
    dtype: str
    parameters: np.ndarray
    gradients: np.ndarray = field(init=False)
    velocity: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.gradients = np.zeros_like(self.parameters)
        self.velocity = np.zeros_like(self.parameters)

    def run(self, call: OpCall, tensors: Arrays, **more: object) -> Arrays:
        for tensor in call.writes:
            if tensor.name not in tensors:
                tensors[tensor.name] = np.empty(tensor.shape, tensor.dtype)
        tensors |= {t.name: np.full(t.shape, np.nan, t.dtype) for t in call.work}
        settings = dict(call.attrs + call.settings) | more
        kernel(call.kernel)(*(tensors[tensor.name] for tensor in call.tensors), **settings)
        return tensors

    def forward(self, records: RecordFile, first: int, samples: int) -> Iterator[Arrays]:
        """Yield the tensors of each layer, then those of the loss."""
        load = steps.load(self.model, samples, self.dtype)
        loaded = self.run(load, {}, fetch=lambda raw: records.read_into(first, raw))
        x = loaded["x"]
        for layer, views in zip(
            self.model.layers, by_layer(self.parameters, self.model), strict=True
        ):
            call = layer.call("forward", samples, self.dtype)
            yield (tensors := self.run(call, {"x": x, **views}))
            x = tensors["y"]
        loss = steps.loss(self.model, samples, self.dtype, samples)
        yield self.run(loss, {"x": x, "labels": loaded["labels"]})

    def step(self, records: RecordFile, first: int) -> float:
        """Train on one batch and return its loss."""
        *saved, last = self.forward(records, first, BATCH)
        dy = last["dx"]
        into = by_layer(self.gradients, self.model, prefix="d")
        for index, layer in reversed(list(enumerate(self.model.layers))):
            tensors = saved[index] | into[index] | {"dy": dy}
            if layer.parameters:
                self.run(layer.call("weight_grad", BATCH, self.dtype), tensors)
            if index:
                dy = self.run(layer.call("input_grad", BATCH, self.dtype), tensors)["dx"]
        updated = update(Training(batch=BATCH, dtype=self.dtype), len(self.parameters))
        arrays = {"p": self.parameters, "g": self.gradients, "momentum": self.velocity}
        self.run(updated, arrays)
        return float(last["stats"][0])

    def accuracy(self, records: RecordFile) -> float:
        *_, last = self.forward(records, 0, records.header.count)
        return float(last["stats"][1]) / records.header.count


def train(name: str, dtype: str, folder, epochs: int) -> tuple[list[float], float]:
    """Return the loss of every step and the accuracy on the test file."""
    model = load_model(name)
    train_path, test_path = write_digits(folder)
    loop = Loop(model, dtype, initial_parameters(model, dtype, seed=0))
    with RecordFile(train_path) as records, RecordFile(test_path) as held_out:
        steps_of_run = range(epochs * records.header.count // BATCH)
        losses = [loop.step(records, i * BATCH) for i in steps_of_run]
        return losses, loop.accuracy(held_out)


@pytest.mark.parametrize("name", ["lenet-5", "mlp"])
def test_training_on_the_digits_reaches_95_per_cent_on_unseen_ones(name, tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    losses, accuracy = train(name, "float32", tmp_path, EPOCHS)
    assert np.isfinite(losses).all()
    assert accuracy > 0.95


def test_float32_and_float64_start_on_the_same_path(tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    single, _ = train("lenet-5", "float32", tmp_path, 1)
    double, _ = train("lenet-5", "float64", tmp_path, 1)
    np.testing.assert_allclose(single, double, rtol=1e-3)

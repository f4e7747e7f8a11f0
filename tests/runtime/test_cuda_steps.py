"""Whole steps on the CUDA backend's kernels and layouts, run by the host, end where NumPy's do."""

import numpy as np
import pytest

from planner.lower import lower
from planner.model import load_model
from planner.opcall import Tensor
from planner.plan import Training, parameter_offsets
from planner.program import View
from runtime.cuda import layout
from runtime.cuda.backend import kernel
from runtime.cuda.engine import using
from runtime.device import HostDevice
from runtime.trial import Trial

CASES = {
    "lenet-5": {},
    "gpt-nano": {"optimizer": "adamw", "learning_rate": 0.003, "epsilon": 0.01},
    "lstm-nano:8": {},
    "small": {},
}
"""Of ``small``: batch normalisation over 4 samples, and dropout."""
SAMPLES, STEPS = {"lenet-5": 2, "gpt-nano": 2, "lstm-nano:8": 2, "small": 8}, 2


class Laid(HostDevice):
    """The host, with the kernels of a GPU, and arrays where a GPU has them."""

    def __init__(self) -> None:
        super().__init__(kernel)

    def order(self, tensor):
        return layout.order(tensor)


@pytest.fixture(scope="module")
def engine(host_engine):
    with using(host_engine):
        yield host_engine


def trained(device, model, training, program):
    """Loss of the last step, and all parameters as the plan names them."""
    trial = Trial(model, training, program, device)

    def fetch(step, microbatch, raw):
        rng = np.random.default_rng([step, microbatch])
        raw[...] = rng.integers(0, 10, raw.shape, dtype=np.uint8)

    trial.begin(fetch)
    loss = trial.run(1, STEPS).loss
    found = {}
    for i, at in parameter_offsets(model).items():
        first = at
        for name, shape in model.layers[i].parameters.items():
            view = View(
                register="parameters", slot=0, offset_bytes=8 * first, shape=shape, dtype="float64"
            )
            tensor = Tensor(name=name, shape=shape, dtype="float64")
            found[i, name] = trial.worker.arena.view(view, tensor).copy()
            first += int(np.prod(shape))
    assert trial.worker.arena.is_intact
    return loss, found


@pytest.mark.parametrize("name", CASES)
def test_training_ends_where_numpys_does(name, engine, machine, dp, small_model):
    model = load_model(small_model if name == "small" else name)
    training = Training(batch=SAMPLES[name], dtype="float64", **CASES[name])
    program = lower(
        model, training, dp(1, SAMPLES[name] // 2), machine.cluster(1), machine.books(1)
    )
    expected_loss, expected = trained(HostDevice(), model, training, program)
    loss, got = trained(Laid(), model, training, program)
    assert loss == pytest.approx(expected_loss, rel=1e-10)
    for key, values in expected.items():
        np.testing.assert_allclose(got[key], values, rtol=0, atol=1e-10, err_msg=str(key))

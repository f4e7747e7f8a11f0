"""What ``bench ops`` compares: the same layers, phases and steps on both sides."""

from functools import partial

import numpy as np
import pytest

from foreplan import op_cases, op_rates, torch_twin
from hwprofiles.registry import names
from planner.layer import batched
from planner.layers import __name__ as layers
from planner.model import load_model
from planner.optimizer import optimizer_names
from planner.plan import Training
from runtime.backends import backend
from runtime.timing import bound_call

SMALL = [("mlp", "h1"), ("lenet-5", "c3"), ("lenet-5", "s4"), ("lenet-5", "c3_tanh")]
SMALL.append(("lstm-nano", "memory.0.lstm"))


def test_every_kind_of_layer_optimizer_and_loss_is_timed():
    timed = [op_cases.layer_of(model, name) for _, model, name, _ in op_cases.OPS]
    others = {name for layer, (_, _, name, _) in zip(timed, op_cases.OPS, strict=True) if not layer}
    assert {layer.kind for layer in timed if layer} == set(names(layers))
    assert others == {"loss", "add", *optimizer_names()}


@pytest.mark.parametrize(("model", "name"), SMALL)
def test_the_twin_computes_what_our_kernel_computes(model, name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = {x.name: x for x in load_model(model).layers}[name]
    call = layer.call("forward", 4, "float32")
    run, _ = bound_call(call)
    run()
    given = dict(zip((t.name for t in call.tensors), run.args, strict=True))
    leaves = {
        key: torch.tensor(np.moveaxis(given[key], -1, 0) if given[key].ndim == 4 else given[key])
        for key in layer.input_names
    } | {key: torch.tensor(given[key]) for key in layer.parameters}
    twin = torch_twin.output(torch, layer, leaves).numpy()
    ours = given["y"].reshape(batched(layer.out_shape, 4))
    ours = np.moveaxis(ours, -1, 0) if ours.ndim == 4 else ours
    np.testing.assert_allclose(twin, ours, rtol=1e-4, atol=1e-5)


def test_a_step_of_ours_is_run_without_pytorch_too():
    run = op_rates._step("lenet-5", Training(batch=8), backend("numpy"))
    rate = op_rates._rate("step", "lenet-5", "step", {"numpy": (run, lambda: None)}, None, 2)
    assert rate.seconds["numpy"] > 0
    assert rate.of_torch == {}
    assert rate.misses == ()


def test_what_is_slower_than_its_floor_misses_it():
    slow = partial(sum, range(20_000)), lambda: None
    rate = op_rates._rate("matmul", "m", "forward", {"numpy": slow}, lambda: None, 1)
    assert rate.misses == ("numpy",)
    assert rate.row()["numpy_of_torch"] < 1


@pytest.mark.parametrize("name", ["lenet-5", "gpt-nano"])
def test_a_twin_step_trains(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch_twin.step(torch, load_model(name), Training(batch=2, optimizer="adamw"), 2)()

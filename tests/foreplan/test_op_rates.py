"""What ``bench ops`` compares: the same layers, phases and steps on both sides."""

import numpy as np
import pytest

from foreplan import op_rates, torch_twin
from planner.layer import batched
from planner.model import load_model
from planner.plan import Training
from runtime.timing import bound_call

SMALL = [("mlp", "h1"), ("lenet-5", "c3"), ("lenet-5", "s4"), ("lenet-5", "c3_tanh")]


def test_every_layer_that_is_timed_is_one_of_its_model():
    for _, model, name, _ in op_rates.OPS:
        assert name in {layer.name for layer in load_model(model).layers}


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
    run, twin = op_rates._step("lenet-5", 8, None)
    assert twin is None
    run()
    rate = op_rates._rate("step", "lenet-5", "step", run, None, 2)
    assert rate.seconds > 0
    assert rate.of_torch is None


def test_a_twin_step_trains():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch_twin.step(torch, load_model("lenet-5"), Training(batch=8), 8)()

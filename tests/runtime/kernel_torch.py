"""Kernels held against PyTorch, where it is installed."""

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from foreplan import torch_twin
from planner.layer import Layer
from planner.optimizer import optimizer
from planner.plan import Training
from runtime.kernels import kernel
from tests.runtime.kernel_cases import (
    EPS_MULTIPLE,
    Kernels,
    assert_close,
    gradients,
    loss_gradient,
    phases,
    run,
    trained,
    update_call,
    values,
)
from tests.runtime.kernel_formulas import mask_of


def pytorch() -> ModuleType:
    reason = "PyTorch is not installed; pip install 'foreplan[oracle]' to compare with it"
    module: ModuleType = pytest.importorskip("torch", reason=reason)
    return module


def torch_output(torch: ModuleType, layer: Layer, t: dict[str, Any]) -> Any:
    """Output of ``layer`` in our layout, computed by PyTorch in its own."""
    if layer.kind == "dropout":  # PyTorch's masks are its own
        x, percent = t["x"], dict(layer.attrs)["percent"]
        mask = torch.tensor(mask_of(x.detach().numpy(), percent))
        assert x.shape == mask.shape
        return x * mask / (1 - round(percent / 100 * 2**16) / 2**16)
    maps = {name for name in layer.input_names if t[name].ndim == 4}
    turned = {name: x.permute(3, 0, 1, 2) if name in maps else x for name, x in t.items()}
    result = torch_twin.output(torch, layer, turned)
    return result.permute(1, 2, 3, 0) if result.ndim == 4 else result


def torch_tolerance(layer: Layer, samples: int, dtype: str) -> float:
    """EPS_MULTIPLE eps sqrt(summands), for the longest sum that a phase does."""
    calls = [layer.call(phase, samples, dtype) for phase in phases(layer)]
    summands = max(1.0, *(call.flop / 2 / call.writes[0].elements for call in calls))
    return EPS_MULTIPLE * float(np.finfo(dtype).eps) * math.sqrt(summands)


def check_torch(
    layer: Layer, samples: int, seed: int, dtype: str = "float64", kernels: Kernels = kernel
) -> None:
    torch = pytorch()
    given = values(layer, samples, dtype, seed)
    names = [name[1:] for name in gradients(layer)]
    leaves = {name: torch.tensor(given[name], requires_grad=True) for name in names}
    output = torch_output(
        torch, layer, leaves | {name: torch.tensor(given[name]) for name in layer.indices}
    )
    output.backward(torch.tensor(given["dy"]))
    expected = {f"d{name}": leaf.grad.numpy() for name, leaf in leaves.items()}
    expected["y"] = output.detach().numpy()
    got = trained(layer, samples, given, kernels)
    assert_close(got, expected, torch_tolerance(layer, samples, dtype))


def check_torch_loss(
    samples: int, classes: int, seed: int, dtype: str = "float64", kernels: Kernels = kernel
) -> None:
    torch = pytorch()
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, classes)).astype(dtype)
    labels, batch = rng.integers(0, classes, samples), samples + 2
    leaf = torch.tensor(x, requires_grad=True)
    loss = torch_twin.loss(torch, leaf, torch.tensor(labels), batch)
    loss.backward()
    hits = (leaf.argmax(dim=1) == torch.tensor(labels)).sum()
    expected = {"dx": leaf.grad.numpy(), "loss": loss.detach().numpy(), "hits": hits.numpy()}
    tolerance = EPS_MULTIPLE * float(np.finfo(dtype).eps) * math.sqrt(samples * classes)
    assert_close(loss_gradient(classes, x, labels, batch, kernels), expected, tolerance)


def check_torch_update(
    name: str, elements: int, seed: int, dtype: str, kernels: Kernels = kernel
) -> None:
    torch = pytorch()
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=elements), rng.normal(size=(3, elements))
    leaf = torch.tensor(start.astype(dtype), requires_grad=True)
    call, named = update_call(name, elements, dtype), {"dtype": dtype, "optimizer": name}
    torchs = torch_twin.optimizer(torch, Training(batch=1, **dict(call.settings), **named), [leaf])
    states = {state: np.zeros(elements, dtype) for state in optimizer(name).STATES}
    tensors = {"p": start.astype(dtype)} | states
    for step, gradient in enumerate(gradients.astype(dtype)):
        leaf.grad = torch.tensor(gradient)
        torchs.step()
        run(call, tensors | {"g": gradient.copy()}, kernels, step)
    tolerance = EPS_MULTIPLE * float(np.finfo(dtype).eps)
    assert_close(tensors, {"p": leaf.detach().numpy()}, tolerance)

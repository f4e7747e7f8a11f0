"""The same layers and the same step in PyTorch, in its own layout: a yardstick, never a backend.

Imported by ``bench ops`` alone, and only where PyTorch is installed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from planner.layer import INPUT, NORM_GROUP, Layer, Shape
from planner.model import ModelGraph
from planner.plan import Training

Tensors = Mapping[str, Any]
"""Tensors of PyTorch by name: ``x`` or ``x0``, ``x1``, ..., and the parameters."""


def native(shape: Shape, samples: int) -> Shape:
    """Shape of ``samples`` of a per-sample shape in PyTorch: the batch comes first."""
    return (samples, *shape)


def output(torch: Any, layer: Layer, t: Tensors) -> Any:
    """Return the output of ``layer``; maps are ``(n, C, H, W)``."""
    attrs, x = dict(layer.attrs), t[layer.input_names[0]]
    functional = torch.nn.functional
    match layer.kind:
        case "conv2d":
            pad = attrs.get("pad", 0)
            how = {"stride": attrs.get("stride", 1), "groups": attrs.get("groups", 1)}
            pads = (pad, attrs.get("pad_w", pad))
            result = functional.conv2d(x, t["w"], t.get("b"), padding=pads, **how)
        case "avg_pool" | "max_pool":
            window, pad = attrs["window"], attrs.get("pad", 0)
            pool = getattr(functional, f"{layer.kind}2d")
            how = {"ceil_mode": bool(attrs.get("ceil", 0))}
            result = pool(x, window, attrs.get("stride", window), pad, **how)
        case "batch_norm":
            parts = x.split(attrs.get("group", NORM_GROUP))
            normed = [
                functional.batch_norm(part, None, None, t["w"], t["b"], training=True)
                for part in parts
            ]
            result = normed[0] if len(normed) == 1 else torch.cat(normed)
        case "lrn":
            size = attrs["size"]
            result = functional.local_response_norm(x, size, alpha=size * 1e-4, k=2.0)
        case "linear":
            result = functional.linear(x, t["w"].T, t["b"])
        case "flatten":
            result = x.flatten(1)
        case "gate":
            result = t["x0"] * t["x1"]
        case "add":
            result = sum((t[name] for name in layer.input_names[1:]), start=x)
        case "concat":
            result = torch.cat([t[name] for name in layer.input_names], 1)
        case elementwise:
            result = getattr(functional if elementwise in ("gelu", "silu") else torch, elementwise)(
                x
            )
    return result


def leaves(torch: Any, layer: Layer, samples: int) -> dict[str, Any]:
    """Return random inputs and parameters of ``layer`` that gradients are wanted of."""
    shapes = dict(layer.parameters)
    for name, shape in zip(layer.input_names, layer.in_shapes, strict=True):
        shapes[name] = native(shape, samples)
    return {name: (torch.randn(shape) * 0.1).requires_grad_() for name, shape in shapes.items()}


def phases(torch: Any, layer: Layer, samples: int) -> dict[str, Callable[[], object]]:
    """Return what computes the output of ``layer``, and what computes all its gradients."""
    t = leaves(torch, layer, samples)
    plain = {name: leaf.detach() for name, leaf in t.items()}
    y = output(torch, layer, t)
    dy = torch.randn_like(y) * 0.1
    wanted = list(t.values())
    return {
        "forward": lambda: output(torch, layer, plain),
        "backward": lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True),
    }


def step(torch: Any, model: ModelGraph, training: Training, samples: int) -> Callable[[], object]:
    """Return one step of SGD with momentum on one batch that is in memory."""
    x = torch.rand(native(model.input_shape, samples))
    labels = torch.randint(model.classes, (samples,))
    parameters = [
        {
            name: torch.nn.Parameter(torch.randn(shape) * 0.05)
            for name, shape in layer.parameters.items()
        }
        for layer in model.layers
    ]
    flat = [leaf for of_layer in parameters for leaf in of_layer.values()]
    optimizer = torch.optim.SGD(flat, lr=training.learning_rate, momentum=training.momentum)

    def run() -> None:
        values = {INPUT: x}
        for layer, own in zip(model.layers, parameters, strict=True):
            inputs = zip(layer.input_names, layer.inputs, strict=True)
            read = {name: values[source] for name, source in inputs}
            values[layer.name] = output(torch, layer, {**read, **own})
        loss = torch.nn.functional.cross_entropy(values[model.layers[-1].name], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run

"""The same layers, loss, optimizers and step in PyTorch, in its own layout.

A yardstick of speed and an oracle of values; what runs plans through PyTorch is a backend
(``runtime.backends.onednn``). Imported by ``bench ops`` and tests, where PyTorch is installed.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from planner.layer import INPUT, MODEL_INPUT, NORM_GROUP, Layer, Shape
from planner.model import ModelGraph
from planner.plan import Training

Tensors = Mapping[str, Any]
"""Tensors of PyTorch by name: ``x`` or ``x0``, ``x1``, ..., and the parameters."""
OF_TORCH = ("tanh", "sigmoid", "relu")
"""Elementwise kinds that are functions of ``torch`` itself."""


def native(shape: Shape, samples: int) -> Shape:
    """Shape of ``samples`` of a per-sample shape in PyTorch: the batch comes first."""
    return (samples, *shape)


def output(torch: Any, layer: Layer, t: Tensors) -> Any:
    """Return the output of ``layer``; maps are ``(n, C, H, W)``."""
    attrs, x = dict(layer.attrs), t[layer.input_names[0]]
    functional = torch.nn.functional
    match layer.kind:
        case "conv2d" | "avg_pool" | "max_pool" | "batch_norm" | "lrn" | "upsample":
            result = _of_maps(torch, layer, t)
        case "linear":
            result = functional.linear(x, t["w"].T, t["b"])
        case "flatten":
            result = x.flatten(1)
        case "gate":
            result = t["x0"] * t["x1"]
        case "add":
            result = sum((t[name] for name in layer.input_names[1:]), start=x)
        case "concat":
            result = torch.cat([t[name] for name in layer.input_names], 2 if x.ndim == 3 else 1)
        case "dropout":
            result = functional.dropout(x, attrs["percent"] / 100)
        case "silu":
            result = functional.silu(x)
        case elementwise if elementwise in OF_TORCH:
            result = getattr(torch, elementwise)(x)
        case _:
            result = _of_text(torch, layer, t)
    return result


def _of_maps(torch: Any, layer: Layer, t: Tensors) -> Any:
    """Return the output of a kind that only maps have."""
    attrs, x, functional = dict(layer.attrs), t["x"], torch.nn.functional
    pad = attrs.get("pad", 0)
    match layer.kind:
        case "conv2d":
            how = {"stride": attrs.get("stride", 1), "groups": attrs.get("groups", 1)}
            pads = (pad, attrs.get("pad_w", pad))
            result = functional.conv2d(x, t["w"], t.get("b"), padding=pads, **how)
        case "batch_norm":
            norm = functional.batch_norm
            parts = x.split(attrs.get("group", NORM_GROUP))
            normed = [norm(part, None, None, t["w"], t["b"], training=True) for part in parts]
            result = normed[0] if len(normed) == 1 else torch.cat(normed)
        case "upsample":
            result = functional.interpolate(x, scale_factor=attrs.get("factor", 2))
        case "lrn":
            size = attrs["size"]
            result = functional.local_response_norm(x, size, alpha=size * 1e-4, k=2.0)
        case pool:
            how = {"ceil_mode": bool(attrs.get("ceil", 0))}
            places = (attrs["window"], attrs.get("stride", attrs["window"]), pad)
            result = getattr(functional, f"{pool}2d")(x, *places, **how)
    return result


def _of_text(torch: Any, layer: Layer, t: Tensors) -> Any:
    """Return the output of a kind of text."""
    attrs, x = dict(layer.attrs), t[layer.input_names[0]]
    functional, first = torch.nn.functional, attrs.get("first", 0)
    match layer.kind:
        case "gelu":
            result = functional.gelu(x, approximate="tanh")
        case "layer_norm":
            result = functional.layer_norm(x, x.shape[-1:], t["w"], t["b"])
        case "embedding":
            tokens = attrs.get("tokens", x.shape[1])
            result = functional.embedding(x[:, first : first + tokens], t["w"])
        case "positions":
            result = x + t["w"][: x.shape[1]]
        case "unembedding":
            result = functional.linear(x, t["w"], t.get("b"))
        case "pick_tokens":
            places = t["x1"][:, first : first + attrs["tokens"], None]
            result = torch.take_along_dim(x, places, dim=1)
        case "lstm":
            result = _lstm(torch, layer, t)
        case "attention":
            split = x.unflatten(2, (3, attrs["heads"], -1)).permute(2, 0, 3, 1, 4)
            attend = functional.scaled_dot_product_attention
            causal = bool(attrs.get("causal", 0))
            result = attend(*split, is_causal=causal).transpose(1, 2).flatten(2)
        case "first_token":
            result = x[:, 0]
        case other:
            raise AssertionError(f"{other}: no twin in PyTorch")
    return result


def _lstm(torch: Any, layer: Layer, t: Tensors) -> Any:
    """Return the output of an LSTM, whose gates PyTorch has in the order i, f, g, o."""
    x, inputs = t["x"], layer.in_shape[1]

    def turned(parameter: Any) -> Any:
        i, f, o, g = parameter.chunk(4)
        return torch.cat((i, f, g, o))

    biases = turned(t["b"])
    weights = (turned(t["w"][:inputs].T), turned(t["w"][inputs:].T), biases, biases * 0)
    state = x.new_zeros((1, len(x), layer.out_shape[1]))
    is_reverse = bool(dict(layer.attrs).get("reverse", 0))
    given = x.flip(1) if is_reverse else x
    result, _, _ = torch.lstm(given, (state, state), weights, True, 1, 0.0, True, False, True)
    return result.flip(1) if is_reverse else result


def leaves(torch: Any, layer: Layer, samples: int) -> dict[str, Any]:
    """Return random inputs and parameters of ``layer``; gradients are wanted of those of floats."""
    shapes = {**layer.parameters, **layer.borrowed}
    for name, shape in zip(layer.input_names, layer.in_shapes, strict=True):
        shapes[name] = native(shape, samples)
    return {
        name: torch.randint(layer.indices[name], shape)
        if name in layer.indices
        else (torch.randn(shape) * 0.1).requires_grad_()
        for name, shape in shapes.items()
    }


def phases(torch: Any, layer: Layer, samples: int) -> dict[str, Callable[[], object]]:
    """Return what computes the output of ``layer``, and what computes all its gradients."""
    t = leaves(torch, layer, samples)
    plain = {name: leaf.detach() for name, leaf in t.items()}
    y = output(torch, layer, t)
    dy = torch.randn_like(y) * 0.1
    wanted = [leaf for leaf in t.values() if leaf.requires_grad]
    return {
        "forward": lambda: output(torch, layer, plain),
        "backward": lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True),
    }


def loss(torch: Any, logits: Any, labels: Any, batch: int) -> Any:
    """Return the mean over a sample's labels of its cross entropies, summed over samples, by batch.

    ``logits`` is (n, L) or (n, S, L), ``labels`` (n,) or (n, S).
    """
    flat, right = logits.flatten(0, -2), labels.flatten()
    total = torch.nn.functional.cross_entropy(flat, right, reduction="sum")
    return total * len(logits) / (len(right) * batch)


def optimizer(torch: Any, training: Training, flat: Iterable[Any]) -> Any:
    """Return the optimizer of ``training`` over parameters."""
    if training.optimizer == "sgd":
        return torch.optim.SGD(flat, lr=training.learning_rate, momentum=training.momentum)
    return torch.optim.AdamW(
        flat,
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        weight_decay=training.weight_decay,
    )


def loss_and_gradient(torch: Any, shape: Shape, samples: int) -> Callable[[], object]:
    """Return what computes the loss of logits of a per-sample shape, and their gradient."""
    logits = torch.randn(native(shape, samples)).requires_grad_()
    labels = torch.randint(shape[-1], logits.shape[:-1])
    return lambda: torch.autograd.grad(loss(torch, logits, labels, samples), logits)


def update(torch: Any, training: Training, elements: int) -> Callable[[], object]:
    """Return an update of so many parameters."""
    leaf = torch.nn.Parameter(torch.randn(elements) * 0.1)
    leaf.grad = torch.randn(elements) * 0.1
    step: Callable[[], object] = optimizer(torch, training, [leaf]).step
    return step


def step(torch: Any, model: ModelGraph, training: Training, samples: int) -> Callable[[], object]:
    """Return one training step on one batch that is in memory."""
    shape = native(model.input_shape, samples)
    x = torch.randint(model.numbers_below, shape) if model.reads_tokens else torch.rand(shape)
    labels = [torch.randint(s[-1], native(s[:-1], samples)) for s in model.logit_shapes]
    own: dict[str, dict[str, Any]] = {
        layer.name: {
            name: torch.nn.Parameter(torch.randn(shape) * 0.05)
            for name, shape in layer.parameters.items()
        }
        for layer in model.layers
    }
    flat = [leaf for of_layer in own.values() for leaf in of_layer.values()]
    chosen = optimizer(torch, training, flat)

    def run() -> None:
        values = {INPUT: x, MODEL_INPUT: x}
        for layer in model.layers:
            inputs = zip(layer.input_names, layer.inputs, strict=True)
            t = {name: values[source] for name, source in inputs} | own[layer.name]
            t |= {name: own[layer.tied][name] for name in layer.borrowed}
            values[layer.name] = output(torch, layer, t)
        logits = [values[model.layers[i].name] for i in model.heads]
        total = sum(loss(torch, *pair, samples) for pair in zip(logits, labels, strict=True))
        chosen.zero_grad()
        total.backward()
        chosen.step()

    return run

"""The same model, batch and dtype in PyTorch eager, as its users run it: what we are measured by.

Channels last, cuDNN's benchmark of algorithms, a fused optimizer; halves by automatic casts, with
float32 parameters, and float16 with a scaled loss. Batch statistics are those of
the whole batch and dropout is PyTorch's own, so it computes another function of equal cost.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from foreplan import torch_twin
from planner.layer import INPUT, Layer
from planner.model import MODEL_INPUT, ModelGraph
from planner.plan import Training
from planner.precision import has_masters, scales_loss

WARM_UP, BLOCKS, STEPS = 5, 6, 5


def pytorch() -> Any | None:
    """Return PyTorch, or None where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError:
        return None


def twin(model: ModelGraph, training: Training, *, on_gpu: bool) -> dict[str, Any]:
    """Return seconds of a step, or why there are none."""
    torch = pytorch()
    if torch is None:
        return {"skipped": "PyTorch is not installed"}
    if on_gpu and not torch.cuda.is_available():
        return {"skipped": "PyTorch finds no GPU"}
    try:
        run, finish = step(torch, model, training, "cuda" if on_gpu else "cpu")
        for _ in range(WARM_UP):
            run()
        blocks = []
        for _ in range(BLOCKS):
            finish()
            start = time.perf_counter()
            for _ in range(STEPS):
                run()
            finish()
            blocks.append((time.perf_counter() - start) / STEPS)
    except (NotImplementedError, RuntimeError) as error:
        return {"skipped": " ".join(str(error).split())}
    return {
        "step_s": float(np.median(blocks)),
        "block_s": blocks,
        "version": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
    }


def step(
    torch: Any, model: ModelGraph, training: Training, where: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return one step of training, and what waits for it."""
    is_half, rounds = has_masters(training.dtype), training.dtype == "tf32"
    dtype = torch.float64 if training.dtype == "float64" else torch.float32
    narrow = getattr(torch, training.dtype) if is_half else dtype
    scaler = torch.amp.GradScaler(where, enabled=scales_loss(training.dtype))
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = rounds
    x, labels = _batch(torch, model, training.batch, narrow, where)
    own = [_parameters(torch, layer, dtype, where) for layer in model.layers]
    flat = [leaf for of_layer in own for leaf in of_layer.values()]
    fused = {"fused": True} if where == "cuda" else {}
    if training.optimizer == "adamw":
        optimizer = torch.optim.AdamW(flat, lr=training.learning_rate, **fused)
    else:
        optimizer = torch.optim.SGD(
            flat, lr=training.learning_rate, momentum=training.momentum, **fused
        )
    lenders = model.lenders

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(where, narrow, enabled=is_half):
            loss = forward()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    def forward() -> Any:
        values = {INPUT: x, MODEL_INPUT: x}
        for i, layer in enumerate(model.layers):
            read = {
                name: values[source]
                for name, source in zip(layer.input_names, layer.inputs, strict=True)
            }
            lent = {k: own[lenders[i]][k] for k in layer.borrowed} if i in lenders else {}
            values[layer.name] = output(torch, layer, {**read, **own[i], **lent})
        (head,) = model.heads
        logits = values[model.layers[head].name]
        return torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        )

    return run, torch.cuda.synchronize if where == "cuda" else lambda: None


def _batch(torch: Any, model: ModelGraph, samples: int, dtype: Any, where: str) -> tuple[Any, Any]:
    labels = torch.randint(model.classes, (samples, model.labels), device=where)
    shape = torch_twin.native(model.input_shape, samples)
    if model.reads_tokens:
        return torch.randint(model.classes, shape, device=where), labels
    x = torch.rand(shape, device=where).to(dtype)
    return (x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x), labels


def _parameters(torch: Any, layer: Layer, dtype: Any, where: str) -> dict[str, Any]:
    found = {}
    for name, shape in layer.parameters.items():
        leaf = (torch.randn(shape, device=where) * 0.02).to(dtype)
        if leaf.ndim == 4:
            leaf = leaf.contiguous(memory_format=torch.channels_last)
        found[name] = leaf.requires_grad_()
    return found


def output(torch: Any, layer: Layer, t: Any) -> Any:
    """Return the output of a layer: kinds of text here, all others as ``foreplan.torch_twin``."""
    attrs, functional = dict(layer.attrs), torch.nn.functional
    x = t[layer.input_names[0]]
    match layer.kind:
        case "batch_norm":
            y = functional.batch_norm(x, None, None, t["w"], t["b"], training=True)
        case "relu":
            y = functional.relu(x)
        case "dropout":
            y = functional.dropout(x, attrs.get("percent", 50) / 100)
        case "embedding":
            first = attrs.get("first", 0)
            tokens = attrs.get("tokens", 0) or x.shape[1] - first
            y = functional.embedding(x[:, first : first + tokens], t["w"])
        case "positions":
            y = x + t["w"][: x.shape[1]]
        case "layer_norm":
            y = functional.layer_norm(x, x.shape[-1:], t["w"], t["b"])
        case "gelu":
            y = functional.gelu(x, approximate="tanh")
        case "attention":
            y = _attention(functional, x, **attrs)
        case "unembedding":
            y = functional.linear(x, t["w"], t.get("b"))
        case "linear":
            y = torch.addmm(t["b"], x.reshape(-1, x.shape[-1]), t["w"])
            y = y.view(*x.shape[:-1], -1)
        case _:
            y = torch_twin.output(torch, layer, t)
    return y


def _attention(functional: Any, x: Any, *, heads: int, causal: int = 0) -> Any:
    samples, tokens, width = x.shape
    q, k, v = x.view(samples, tokens, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=bool(causal))
    return y.transpose(1, 2).reshape(samples, tokens, width // 3)

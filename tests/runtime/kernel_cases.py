"""Layers of every kind with values for them, and how kernels run on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from planner import steps
from planner.build import chain
from planner.layer import Layer
from planner.layers import attention, conv2d
from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor
from planner.optimizer import update
from planner.plan import Training
from runtime.kernels import Kernel, Stream, changing, kernel

EXAMPLES = settings(max_examples=100, deadline=None)
EPS_MULTIPLE = 32
"""Allowed error in units of eps sqrt(summands) of the largest value: independent roundings."""

Arrays = dict[str, np.ndarray[Any, Any]]
Kernels = Callable[[str], Kernel]


def layer(kind: str, *in_shapes: tuple[int, ...], **attrs: int) -> Layer:
    return Layer(
        name=kind,
        kind=kind,
        in_shapes=in_shapes,
        inputs=tuple("abc"[: len(in_shapes)]),
        attrs=tuple(sorted(attrs.items())),
    )


few = st.integers(1, 3)


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    """Rectangular kernels and paddings, groups, with and without bias; 1x1 among them."""
    high, wide, groups = draw(few), draw(few), draw(st.integers(1, 2))
    sides = (draw(st.integers(high, high + 3)), draw(st.integers(wide, wide + 3)))
    attrs = {"channels": groups * draw(few), "kernel": high, "kernel_w": wide, "groups": groups}
    attrs |= {"pad": draw(st.integers(0, high - 1)), "pad_w": draw(st.integers(0, wide - 1))}
    attrs |= {"stride": draw(few), "bias": draw(st.integers(0, 1))}
    return layer("conv2d", (groups * draw(few), *sides), **attrs)


@st.composite
def pools(draw: st.DrawFn, kind: str) -> Layer:
    """Disjoint, overlapping, padded and global windows."""
    if kind == "avg_pool" and draw(st.booleans()):
        side = draw(st.integers(1, 4))
        return layer(kind, (draw(few), side, side), window=side)
    window = draw(few)
    sides = (draw(st.integers(window, 6)), draw(st.integers(window, 6)))
    attrs = {"window": window}
    if draw(st.booleans()):
        attrs |= {"stride": draw(few), "pad": draw(st.integers(0, window // 2))}
        attrs |= {"ceil": draw(st.integers(0, 1))} if kind == "max_pool" else {}
    return layer(kind, (draw(few), *sides), **attrs)


OF_TOKENS = ("embedding", "positions", "unembedding", "pick_tokens", "first_token")
"""Kinds of text whose definition does as many FLOP as are declared."""
COUNTED = ("conv2d", "linear", "tanh", "avg_pool", "flatten", "relu", "add", "concat", "gelu")
COUNTED += ("upsample", *OF_TOKENS)
"""Kinds whose definition does as many FLOP as are declared; the others are declared roundly."""
ELEMENTWISE = ("tanh", "relu", "sigmoid", "silu", "add", "concat", "gelu", "dropout")
"""Kinds that take vectors as well as maps."""
NUMBERED = {
    "batch_norm": ("group", [1, 2, 32]),
    "dropout": ("percent", [0, 20, 50, 90]),
    "upsample": ("factor", [1, 2, 3]),
}
"""Kinds whose one attribute is a number, and which numbers are tried."""
OF_TEXT = (*OF_TOKENS, "layer_norm", "attention", "lstm")
KINDS = (*COUNTED, "sigmoid", "silu", "max_pool", "batch_norm", "lrn", "gate", "dropout")
KINDS += OF_TEXT[-3:]


@st.composite
def of_text(draw: st.DrawFn, kind: str) -> Layer:
    """Kinds that take tokens, or numbers of tokens with others before and after them."""
    tokens, features, few_more = draw(st.integers(1, 4)), draw(st.integers(2, 5)), st.integers(0, 2)
    first = draw(few_more)
    match kind:
        case "embedding":
            attrs = {"vocab": draw(few) + 1, "features": features, "first": first, "tokens": tokens}
            return layer(kind, (first + tokens + draw(few_more),), **attrs)
        case "positions":
            return layer(kind, (tokens, features), positions=tokens + draw(few_more))
        case "unembedding":
            attrs = {"vocab": draw(few), "bias": draw(st.integers(0, 1))}
            return layer(kind, (tokens, features), **attrs)
        case "pick_tokens":
            picked = draw(few)
            places = (first + picked + draw(few_more),)
            return layer(kind, (tokens, features), places, tokens=picked, first=first)
        case "attention" | "lstm":
            names = ("heads", "causal") if kind == "attention" else ("features", "reverse")
            attrs = dict(zip(names, (draw(few), draw(st.integers(0, 1))), strict=True))
            return layer(kind, (tokens, 3 * attrs.get("heads", 1) * draw(few)), **attrs)
    shape = (features,) if kind == "layer_norm" and draw(st.booleans()) else (tokens, features)
    return layer(kind, shape)


@st.composite
def layers(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> Layer:
    kind = draw(st.sampled_from(kinds))
    if kind == "conv2d":
        return draw(convolutions())
    if kind in ("avg_pool", "max_pool"):
        return draw(pools(kind))
    if kind in OF_TEXT:
        return draw(of_text(kind))
    attrs: dict[str, int] = {}
    shapes: list[tuple[int, ...]] = [(draw(few), draw(few), draw(st.integers(2, 3)))]
    if kind == "linear" or (kind in ELEMENTWISE and draw(st.booleans())):
        shapes = [(draw(st.integers(1, 6)),)]
    match kind:
        case "linear":
            attrs = {"features": draw(st.integers(1, 5))}
            shapes = [(*draw(st.sampled_from([(), (1,), (3,)])), *shapes[0])]
        case "batch_norm" | "dropout" | "upsample":
            name, among = NUMBERED[kind]
            attrs = {name: draw(st.sampled_from(among))}
        case "lrn":
            shapes = [(draw(st.integers(1, 6)), *shapes[0][1:])]
            attrs = {"size": draw(st.sampled_from([1, 3, 5]))}
        case "gate":
            shapes.append((shapes[0][0], 1, 1))
        case "add":
            shapes *= draw(st.integers(2, 3))
        case "concat":
            widths = draw(st.lists(few, min_size=1, max_size=3))
            tokens = draw(st.sampled_from([(), (3,)])) if len(shapes[0]) == 1 else ()
            shapes = [(*tokens, width, *shapes[0][1:]) for width in widths]
    return layer(kind, *shapes, **attrs)


tile_sizes = st.booleans()
"""Whether tiles are as small as can be: a row of a convolution, a query or two of attention."""


@contextmanager
def tiles(*, small: bool) -> Iterator[None]:
    """Let tiles be small, or hold all of the small layers here."""
    with (
        patch.object(conv2d, "TILE_BYTES", 1 if small else conv2d.TILE_BYTES),
        patch.object(attention, "TILE", 6 if small else attention.TILE),
    ):
        yield


def whole_groups(layer: Layer, samples: int) -> int:
    """At most ``samples``, a multiple of the samples that are normalised together."""
    group = dict(layer.attrs).get("group", 1)
    return samples if samples < group else samples - samples % group


def logits_model(classes: int) -> ModelGraph:
    rows: list[tuple[str, str, dict[str, int]]] = [("output", "linear", {"features": classes})]
    return ModelGraph(name="m", blocks=chain((3,), rows), record_shape=(1, 3), classes=classes)


def values(layer: Layer, samples: int, dtype: str, seed: int) -> Arrays:
    """Random inputs, parameters and output gradient of ``layer``, away from kinks and ties."""
    rng = np.random.default_rng(seed)
    names = (*layer.input_names, *layer.borrowed, *layer.parameters, "y")
    drawn = {name: rng.normal(size=layer.tensor(name, samples, dtype).shape) for name in names}
    drawn["dy"] = drawn.pop("y")
    numbers = {
        name: rng.integers(0, below, drawn.pop(name).shape) for name, below in layer.indices.items()
    }
    match layer.kind:
        case "relu":
            drawn["x"] += np.copysign(0.1, drawn["x"])
        case "max_pool":
            x = drawn["x"]
            drawn["x"] = rng.permutation(np.linspace(-2, 2, x.size)).reshape(x.shape)
        case "batch_norm":
            drawn["x"][:, :, ::2] += 3  # no deviation is near 0
        case "lrn":
            drawn["x"] *= 10  # the squares count for something beside k = 2
        case "gate":
            drawn["x1"] = 0.5 + np.abs(drawn["x1"])
        case "layer_norm":
            drawn["x"][..., ::2] += (
                8  # nor of two features: float32 would say little, PyTorch's too
            )
    return numbers | {name: array.astype(dtype) for name, array in drawn.items()}


STREAM = Stream(seed=5, step=7, op=11, first=13)


def keywords(call: OpCall, step: int = 0) -> dict[str, Any]:
    """Attributes and settings of ``call``, and what a worker gives anew at every firing."""
    now = {"stream": lambda: STREAM, "step": lambda: step}
    return dict(call.attrs + call.settings) | {name: now[name] for name in changing(call.kernel)}


def unset(tensor: Tensor) -> np.ndarray[Any, Any]:
    """NaN where the dtype has it, so that nothing old serves."""
    return np.full(tensor.shape, np.nan if tensor.dtype.startswith("float") else 85, tensor.dtype)


def run(call: OpCall, tensors: Arrays, kernels: Kernels = kernel, step: int = 0) -> None:
    """Run ``call`` on named arrays; results and workspace start unset."""
    for tensor in (*call.writes, *call.work):
        tensors[tensor.name] = unset(tensor)
    arguments = [tensors[tensor.name] for tensor in call.tensors]
    kernels(call.kernel)(*arguments, **keywords(call, step))


def phases(layer: Layer) -> list[str]:
    backward = [*(["weight_grad"] if layer.is_trained else []), "input_grad"]
    return ["forward", *(p for p in backward if hasattr(layer.module, p))]


def gradients(layer: Layer) -> list[str]:
    names = (*layer.input_names, *layer.borrowed, *layer.parameters)
    return [f"d{name}" for name in names if name not in layer.indices]


def trained(layer: Layer, samples: int, given: Arrays, kernels: Kernels = kernel) -> Arrays:
    """Output and gradients of ``layer`` by the kernels."""
    tensors = dict(given)
    if layer.passes_gradient:
        tensors |= {f"d{name}": given["dy"] for name in layer.input_names}
    for phase in phases(layer):
        run(layer.call(phase, samples, given["dy"].dtype.name), tensors, kernels)
    return {name: tensors[name] for name in ("y", *gradients(layer))}


def loss_gradient(
    classes: int,
    x: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    batch: int,
    kernels: Kernels,
) -> Arrays:
    call = steps.loss(logits_model(classes), len(x), x.dtype.name, batch)
    tensors = {"x": x, "labels": labels}
    run(call, tensors, kernels)
    return {"dx": tensors["dx"], "loss": tensors["stats"][:1], "hits": tensors["stats"][1:]}


def assert_close(got: Arrays, expected: Arrays, tolerance: float) -> None:
    for name, array in expected.items():
        bound = tolerance * max(1.0, np.abs(array).max())
        np.testing.assert_allclose(got[name], array, rtol=0, atol=bound, err_msg=name)


seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "float64"])


def update_call(name: str, elements: int, dtype: str = "float64") -> OpCall:
    """Settings that all count for something within three steps."""
    fields = {"learning_rate": 0.3, "beta2": 0.7, "epsilon": 0.1, "weight_decay": 0.2}
    return update(Training(batch=1, dtype=dtype, optimizer=name, **fields), elements)


OPTIMIZERS = ("sgd", "adamw")

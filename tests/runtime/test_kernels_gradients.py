"""Kernels against three oracles: their definitions in loops, central differences and PyTorch."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreplan import torch_twin
from hwprofiles.errors import BackendUnavailable
from planner import steps
from planner.build import chain
from planner.layer import Layer
from planner.layers import attention, conv2d
from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor
from planner.optimizer import optimizer, update
from planner.plan import Training
from runtime.backends import Backend, backend, backend_names, onednn
from runtime.kernels import Kernel, Stream, changing, kernel

EXAMPLES = settings(max_examples=100, deadline=None)
STEP = 1e-5
DIFFERENCE_TOLERANCE = 1e-7
"""Central differences err by STEP^2 / 6 (curvature) and eps |L| / STEP (rounding): below 1e-9."""
EPS_MULTIPLE = 32
"""Allowed error in units of eps sqrt(summands) of the largest value: independent roundings."""

Arrays = dict[str, np.ndarray[Any, Any]]
Kernels = Callable[[str], Kernel]
Tally = list[int]


# The calls under test.


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
OF_TEXT = (*OF_TOKENS, "layer_norm", "attention")
KINDS = (*COUNTED, "sigmoid", "silu", "max_pool", "batch_norm", "lrn", "gate", "dropout")
KINDS += OF_TEXT[-2:]


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
        case "attention":
            attrs = {"heads": draw(few), "causal": draw(st.integers(0, 1))}
            return layer(kind, (tokens, 3 * attrs["heads"] * draw(few)), **attrs)
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
            shapes = [(width, *shapes[0][1:]) for width in widths]
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
            drawn["x"][..., ::2] += 3
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


# Oracle 1: the definitions, in loops over numbers that count their arithmetic.


class Counting:
    """A float that adds 1 to ``tally`` with every operation on it."""

    def __init__(self, value: float, tally: Tally) -> None:
        self.value, self.tally = value, tally

    def _counted(self, value: float) -> "Counting":
        self.tally[0] += 1
        return Counting(value, self.tally)

    def __float__(self) -> float:
        return self.value

    def __add__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value + float(other))

    def __sub__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value - float(other))

    def __rsub__(self, other: float) -> "Counting":
        return self._counted(other - self.value)

    def __mul__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value * float(other))

    def __truediv__(self, other: "Counting | float") -> "Counting":
        return self._counted(self.value / float(other))

    def tanh(self) -> "Counting":
        return self._counted(math.tanh(self.value))

    def maximum(self, other: float) -> "Counting":
        return self._counted(max(self.value, other))

    def sqrt(self) -> "Counting":
        return self._counted(math.sqrt(self.value))

    def exp(self) -> "Counting":
        return self._counted(math.exp(self.value))

    __radd__, __rmul__ = __add__, __mul__


def bordered(x, pad, pad_w):
    """Return maps with zeros around them that count too."""
    channels, height, width, samples = x.shape
    shape = (channels, height + 2 * pad, width + 2 * pad_w, samples)
    whole = np.full(shape, Counting(0.0, x.flat[0].tally), object)
    whole[:, pad : pad + height, pad_w : pad_w + width] = x
    return whole


def products(w, y, *, stride, groups):
    """Yield (index of y, of w and of the bordered x) of every multiply-add."""
    maps, channels, *_ = w.shape
    for k, p, q, n in np.ndindex(y.shape):
        first = k // (maps // groups) * channels
        for c, i, j in np.ndindex(w.shape[1:]):
            yield (k, p, q, n), (k, c, i, j), (first + c, p * stride + i, q * stride + j, n)


def conv2d_forward(x, w, *results, stride, pad=0, pad_w=0, groups=1, tile=0, bias=1):
    x, y = bordered(x, pad, pad_w), results[-1]
    for k in range(len(y)):
        y[k] = results[0][k] if bias else 0.0
    for at, weight, place in products(w, y, stride=stride, groups=groups):
        y[at] += w[weight] * x[place]


def conv2d_weight_grad(x, dy, dw, *results, stride, pad=0, pad_w=0, groups=1, tile=0, bias=1):
    x, dw[:] = bordered(x, pad, pad_w), 0.0
    for at, weight, place in products(dw, dy, stride=stride, groups=groups):
        dw[weight] += dy[at] * x[place]
    if bias:  # outside the multiply-adds that are declared
        results[0][:] = dy.astype(float).sum(axis=(1, 2, 3))


def conv2d_input_grad(dy, w, dx, *, stride, pad=0, pad_w=0, groups=1, tile=0, bias=1):
    channels, height, width, samples = dx.shape
    whole = np.zeros((channels, height + 2 * pad, width + 2 * pad_w, samples), object)
    for at, weight, place in products(w, dy, stride=stride, groups=groups):
        whole[place] += w[weight] * dy[at]
    dx[:] = whole[:, pad : pad + height, pad_w : pad_w + width]


def in_rows(*arrays):
    return [array.reshape(-1, array.shape[-1]) for array in arrays]


def linear_forward(x, w, b, y):
    x, y = in_rows(x, y)
    for n, g in np.ndindex(y.shape):
        y[n, g] = b[g]
        for f in range(len(w)):
            y[n, g] += x[n, f] * w[f, g]


def linear_weight_grad(x, dy, dw, db):
    x, dy = in_rows(x, dy)
    dw[:] = 0.0
    for f, g in np.ndindex(dw.shape):
        for n in range(len(x)):
            dw[f, g] += x[n, f] * dy[n, g]
    db[:] = dy.astype(float).sum(axis=0)  # outside the multiply-adds that are declared


def linear_input_grad(dy, w, dx):
    dy, dx = in_rows(dy, dx)
    dx[:] = 0.0
    for n, f in np.ndindex(dx.shape):
        for g in range(dy.shape[1]):
            dx[n, f] += dy[n, g] * w[f, g]


def unembedding_forward(x, w, *rest):
    linear_forward(x, w.T, rest[0] if len(rest) > 1 else np.zeros(len(w)), rest[-1])


def unembedding_weight_grad(x, dy, dw, *rest):
    linear_weight_grad(x, dy, dw.T, rest[0] if rest else np.empty(len(dw)))


def unembedding_input_grad(dy, w, dx):
    linear_input_grad(dy, w.T, dx)


def embedding_forward(x, w, y, *, first):
    for n, s in np.ndindex(y.shape[:2]):
        y[n, s] = w[x[n, first + s]]


def embedding_weight_grad(x, dy, dw, *, first, tied):
    dw[:] = 0.0
    for n, s in np.ndindex(dy.shape[:2]):
        dw[x[n, first + s]] += dy[n, s]


def positions_forward(x, w, y):
    for n, s, f in np.ndindex(y.shape):
        y[n, s, f] = x[n, s, f] + w[s, f]


def positions_weight_grad(dy, dw):
    dw[:] = 0.0
    for n, s, f in np.ndindex(dy.shape):
        dw[s, f] += dy[n, s, f]


def pick_tokens_forward(x0, x1, y, *, first):
    for n, m in np.ndindex(y.shape[:2]):
        y[n, m] = x0[n, x1[n, first + m]]


def pick_tokens_input_grad(x1, dy, dx0, *, first):
    dx0[:] = 0.0
    for n, m in np.ndindex(dy.shape[:2]):
        dx0[n, x1[n, first + m]] += dy[n, m]


def first_token_forward(x, y):
    y[:] = x[:, 0]


def first_token_input_grad(dy, dx):
    dx[:] = 0.0
    dx[:, 0] = dy


CUBIC, SLOPE = 0.044715, math.sqrt(2 / math.pi)


def gelu_forward(x, y):
    for at in np.ndindex(x.shape):
        t = ((x[at] * x[at] * (CUBIC * SLOPE) + SLOPE) * x[at]).tanh()
        y[at] = (t + 1.0) * 0.5 * x[at]


def gelu_input_grad(x, dy, dx):
    for at in np.ndindex(x.shape):
        square = x[at] * x[at]
        t = ((square * (CUBIC * SLOPE) + SLOPE) * x[at]).tanh()
        slope = (square * (3 * CUBIC * SLOPE) + SLOPE) * x[at]
        dx[at] = (slope * (1 - t * t) + t + 1.0) * 0.5 * dy[at]


def tanh_forward(x, y):
    for at in np.ndindex(x.shape):
        y[at] = x[at].tanh()


def tanh_input_grad(y, dy, dx):
    for at in np.ndindex(y.shape):
        dx[at] = dy[at] * (1 - y[at] * y[at])


def relu_forward(x, y):
    for at in np.ndindex(x.shape):
        y[at] = x[at].maximum(0.0)


def relu_input_grad(y, dy, dx):
    for at in np.ndindex(y.shape):
        dx[at] = dy[at] * float(float(y[at]) > 0)


def add_forward(first, *others):
    *others, y = others
    for at in np.ndindex(y.shape):
        y[at] = sum((other[at] for other in others), start=first[at])


def concat_forward(*arrays):
    *inputs, y = arrays
    y[:] = np.concatenate(inputs, axis=0 if y.ndim == 4 else 1)


def concat_input_grad(dy, *results):
    axis, first = 0 if dy.ndim == 4 else 1, 0
    for dx in results:
        dx[:] = dy.take(range(first, first + dx.shape[axis]), axis)
        first += dx.shape[axis]


def upsample_forward(x, y, *, factor):
    for c, p, q, n in np.ndindex(y.shape):
        y[c, p, q, n] = x[c, p // factor, q // factor, n]


def upsample_input_grad(dy, dx, *, factor):
    for c, h, w, n in np.ndindex(dx.shape):
        rows, columns = (slice(i * factor, (i + 1) * factor) for i in (h, w))
        first, *others = dy[c, rows, columns, n].flat
        dx[c, h, w, n] = sum(others, start=first)


def avg_pool_forward(x, y, *, window):
    for c, p, q, n in np.ndindex(y.shape):
        first, *others = x[c, p * window : (p + 1) * window, q * window : (q + 1) * window, n].flat
        y[c, p, q, n] = sum(others, start=first) * window**-2


def avg_pool_input_grad(dy, dx, *, window):
    dx[:] = 0.0
    for c, p, q, n in np.ndindex(dy.shape):
        for i, j in np.ndindex(window, window):
            dx[c, p * window + i, q * window + j, n] = dy[c, p, q, n] * window**-2


def flatten_forward(x, y):
    for n in range(len(y)):
        y[n] = x[..., n].flat


def flatten_input_grad(dy, dx):
    for n in range(len(dy)):
        dx[..., n] = dy[n].reshape(dx.shape[:-1])


def softmax_cross_entropy_forward(x, labels, dx, stats, *, batch):
    stats[:] = 0.0
    for n, row in enumerate(x):
        logits = row.astype(float)
        stats[0] += (math.log(np.exp(logits).sum()) - logits[labels[n]]) / batch
        stats[1] += logits.argmax() == labels[n]
        first, *others = powers = [(logit - logits.max()).exp() for logit in row]
        scaled_total = sum(others, start=first) * batch
        for c, power in enumerate(powers):
            dx[n, c] = power / scaled_total - (c == labels[n]) / batch


def add_accumulate(other, total):
    for e in range(len(total)):
        total[e] += other[e]


def sgd_update(p, g, m, *, learning_rate, momentum):
    for e in range(len(p)):
        m[e] = momentum * m[e] + g[e]
        p[e] = p[e] - learning_rate * m[e]


def adamw_update(
    p, g, exp_avg, exp_avg_sq, *, learning_rate, beta1, beta2, epsilon, weight_decay, step
):
    rate, whole = (1 - beta ** (step() + 1) for beta in (beta1, beta2))
    for e in range(len(p)):
        exp_avg[e] = beta1 * exp_avg[e] + (1 - beta1) * g[e]
        exp_avg_sq[e] = beta2 * exp_avg_sq[e] + (1 - beta2) * (g[e] * g[e])
        root = (exp_avg_sq[e] / whole).sqrt() + epsilon
        p[e] = (1 - learning_rate * weight_decay) * p[e] - learning_rate / rate * exp_avg[e] / root


def definition(name: str) -> Kernel:
    found: Kernel = globals()[name.replace(".", "_")]
    return found


SCRATCH = {"sgd.update": {"g"}, "adamw.update": {"g"}}
"""What a kernel may leave in any state."""


def counted(call: OpCall, tensors: Arrays) -> tuple[Arrays, int]:
    """What the definition of ``call`` leaves in its results, and the FLOP that took."""
    tally = [0]
    counting = {
        name: array
        if array.dtype == np.int64
        else np.vectorize(lambda v: Counting(float(v), tally), otypes=[object])(array)
        for name, array in tensors.items()
    }
    for tensor in call.writes:
        counting[tensor.name] = np.empty(tensor.shape, object)
    definition(call.kernel)(
        *(counting[t.name] for t in (*call.reads, *call.updates, *call.writes)), **keywords(call)
    )
    results = {t.name for t in (*call.updates, *call.writes)} - SCRATCH.get(call.kernel, set())
    return {name: counting[name].astype(float) for name in results}, tally[0]


def check_definition(call: OpCall, tensors: Arrays, kernels: Kernels = kernel) -> None:
    """Assert that kernel and definition give the same values and that the FLOP are as declared."""
    expected, flop = counted(call, {t.name: tensors[t.name] for t in (*call.reads, *call.updates)})
    got = {name: array.copy() for name, array in tensors.items()}
    run(call, got, kernels)
    terms = max(t.elements for t in (*call.reads, *call.updates, *call.writes))
    assert_close(got, expected, EPS_MULTIPLE * np.finfo(np.float64).eps * math.sqrt(terms))
    assert flop == call.flop, f"{call.signature}: {flop} FLOP counted, {call.flop} declared"


def check_layer_definitions(
    layer: Layer, samples: int, seed: int, kernels: Kernels = kernel
) -> None:
    tensors = values(layer, samples, "float64", seed)
    for phase in phases(layer):
        call = layer.call(phase, samples, "float64")
        check_definition(call, tensors, kernels)
        run(call, tensors)


seeds = st.integers(0, 2**32 - 1)


def has_a_closed_form(layer: Layer) -> bool:
    """Whether every input is in one window, as the closed form of the pooling FLOP supposes."""
    attrs = dict(layer.attrs)
    window = attrs.get("window", 1)
    return layer.kind != "avg_pool" or (
        "stride" not in attrs and all(side % window == 0 for side in layer.in_shape[1:])
    )


@EXAMPLES
@given(
    layer=layers(COUNTED).filter(has_a_closed_form),
    samples=st.integers(1, 3),
    seed=seeds,
    small=tile_sizes,
)
def test_layer_kernels_equal_their_definitions_in_value_and_flop(layer, samples, seed, small):
    with tiles(small=small):
        check_layer_definitions(layer, samples, seed)


def pooled(x, y, how, border, *, window, stride=0, pad=0, ceil=0):
    """``how`` of each window of maps with a ``border`` that is wide enough for all of them."""
    step, wide = stride or window, pad + window
    whole = np.pad(x, ((0, 0), (pad, wide), (pad, wide), (0, 0)), constant_values=border)
    for p, q in np.ndindex(y.shape[1:3]):
        rows, columns = (slice(at * step, at * step + window) for at in (p, q))
        y[:, p, q] = how(whole[:, rows, columns], axis=(1, 2))


def normalised(x, w, b, y, *, group):
    for first in range(0, x.shape[3], group):
        maps = x[..., first : first + group]
        mean, variance = (f(maps, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
        scaled = w[:, None, None, None] * (maps - mean) / np.sqrt(variance + 1e-5)
        y[..., first : first + group] = scaled + b[:, None, None, None]


def locally_normalised(x, y, *, size):
    for c in range(len(x)):
        near = x[max(0, c - size // 2) : c + size // 2 + 1]
        y[c] = x[c] / (2 + 1e-4 * (near**2).sum(axis=0)) ** 0.75


def token_normalised(x, w, b, y):
    mean, variance = (f(x, axis=-1, keepdims=True) for f in (np.mean, np.var))
    y[:] = w * (x - mean) / np.sqrt(variance + 1e-5) + b


def attended(x, y, *, heads, causal):
    """Query by query; a causal one sees the keys up to its own."""
    split = x.reshape(*x.shape[:2], 3, heads, -1)
    out = y.reshape(*y.shape[:2], heads, -1)
    for n, s, h in np.ndindex(out.shape[:3]):
        end = s + 1 if causal else x.shape[1]
        q, k, v = split[n, s, 0, h], split[n, :end, 1, h], split[n, :end, 2, h]
        weights = np.exp(k @ q / math.sqrt(len(q)))
        out[n, s, h] = weights @ v / weights.sum()


def splitmix64(state, count):
    """The generator as published, one word at a time in whole numbers."""
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        yield z ^ z >> 31


def mixed(word):
    return next(splitmix64(word - 0x9E3779B97F4A7C15, 1))


def kept(elements, place, percent):
    """Which elements of the sample at ``place`` of the batch are kept, four to a word."""
    key = STREAM.seed
    for part in (STREAM.step, STREAM.op, place):
        key = mixed(key) + part
    words = splitmix64(mixed(key % 2**64), -(-elements // 4))
    lanes = [word >> 16 * i & 0xFFFF for word in words for i in range(4)]
    return np.array(lanes[:elements]) >= round(percent / 100 * 2**16)


def mask_of(x, percent):
    """The mask of an input, one sample after another."""
    samples = x.shape[-1] if x.ndim == 4 else len(x)
    rows = [kept(x.size // samples, STREAM.first + i, percent) for i in range(samples)]
    return np.array(rows).T.reshape(x.shape) if x.ndim == 4 else np.array(rows).reshape(x.shape)


def dropped_out(x, y, *, percent):
    y[:] = x * mask_of(x, percent) / (1 - round(percent / 100 * 2**16) / 2**16)


FORMULAS: dict[str, Callable[..., None]] = {
    "dropout": dropped_out,
    "layer_norm": token_normalised,
    "attention": attended,
    "sigmoid": lambda x, y: np.copyto(y, 1 / (1 + np.exp(-x))),
    "silu": lambda x, y: np.copyto(y, x / (1 + np.exp(-x))),
    "gate": lambda x0, x1, y: np.copyto(y, x0 * x1),
    "avg_pool": lambda x, y, **how: pooled(x, y, np.mean, 0.0, **how),
    "max_pool": lambda x, y, **how: pooled(x, y, np.max, -np.inf, **how),
    "batch_norm": normalised,
    "lrn": locally_normalised,
}


def check_formula(layer: Layer, samples: int, seed: int, kernels: Kernels = kernel) -> None:
    """Assert that ``forward`` gives what the formula of its kind does; the FLOP are not counted."""
    given = values(layer, samples, "float64", seed)
    expected = np.full(layer.tensor("y", samples, "float64").shape, np.nan)
    inputs = [given[name] for name in (*layer.input_names, *layer.parameters)]
    FORMULAS[layer.kind](*inputs, expected, **dict(layer.attrs))
    got = dict(given)
    run(layer.call("forward", samples, "float64"), got, kernels)
    tolerance = EPS_MULTIPLE * np.finfo(np.float64).eps * math.sqrt(inputs[0].size)
    assert_close(got, {"y": expected}, tolerance)


@EXAMPLES
@given(layer=layers(tuple(FORMULAS)), samples=st.integers(1, 5), seed=seeds, small=tile_sizes)
def test_forward_kernels_equal_their_formulas(layer, samples, seed, small):
    with tiles(small=small):
        check_formula(layer, whole_groups(layer, samples), seed)


IN_PLACE = ("relu", "gate", "dropout")
assert all(layer(kind, (1, 1, 1)).writes_in_place for kind in IN_PLACE)


@EXAMPLES
@given(layer=layers(IN_PLACE), samples=st.integers(1, 3), seed=seeds)
def test_work_in_place_gives_what_work_apart_does(layer, samples, seed):
    given = values(layer, samples, "float64", seed)
    apart = trained(layer, samples, given)
    tensors = {name: array.copy() for name, array in given.items()}
    over = {"forward": ("y", layer.input_names[0]), "input_grad": (gradients(layer)[0], "dy")}
    for phase, (result, source) in over.items():
        call = layer.call(phase, samples, "float64")
        for tensor in (*call.writes, *call.work):
            tensors[tensor.name] = unset(tensor)
        tensors[result] = tensors[source]
        kernel(call.kernel)(*(tensors[t.name] for t in call.tensors), **keywords(call))
    for name, array in apart.items():
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def update_call(name: str, elements: int, dtype: str = "float64") -> OpCall:
    """Settings that all count for something within three steps."""
    fields = {"learning_rate": 0.3, "beta2": 0.7, "epsilon": 0.1, "weight_decay": 0.2}
    return update(Training(batch=1, dtype=dtype, optimizer=name, **fields), elements)


OPTIMIZERS = ("sgd", "adamw")


def update_tensors(call: OpCall, rng: np.random.Generator) -> Arrays:
    tensors = {t.name: rng.normal(size=t.shape) for t in call.tensors}
    return {name: np.abs(x) if name == "exp_avg_sq" else x for name, x in tensors.items()}


@EXAMPLES
@given(elements=st.integers(1, 20), seed=seeds)
def test_sum_and_update_equal_their_definitions_in_value_and_flop(elements, seed):
    rng = np.random.default_rng(seed)
    updates = [update_call(name, elements) for name in OPTIMIZERS]
    for call in (steps.add(elements, "float64"), *updates):
        check_definition(call, update_tensors(call, rng))


@EXAMPLES
@given(samples=st.integers(1, 4), classes=st.integers(2, 6), more=st.integers(0, 5), seed=seeds)
def test_loss_equals_its_definition_in_value_and_flop(samples, classes, more, seed):
    rng = np.random.default_rng(seed)
    call = steps.loss(logits_model(classes), samples, "float64", samples + more)
    labels = rng.integers(0, classes, samples)
    check_definition(call, {"x": rng.normal(size=(samples, classes)), "labels": labels})


# Oracle 2: central differences of the forward kernel.


def slope(objective: Callable[[], float], array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Derivative of ``objective`` by each entry of ``array``, which is changed and put back."""
    result = np.empty_like(array)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + STEP
        above = objective()
        array[at] = kept - STEP
        result[at] = (above - objective()) / (2 * STEP)
        array[at] = kept
    return result


def check_differences(layer: Layer, samples: int, seed: int, kernels: Kernels = kernel) -> None:
    given = values(layer, samples, "float64", seed)

    def objective() -> float:
        tensors = dict(given)
        run(layer.call("forward", samples, "float64"), tensors)
        return float(np.vdot(tensors["y"], given["dy"]))

    expected = {name: slope(objective, given[name[1:]]) for name in gradients(layer)}
    assert_close(trained(layer, samples, given, kernels), expected, DIFFERENCE_TOLERANCE)


def check_loss_differences(
    samples: int, classes: int, seed: int, kernels: Kernels = kernel
) -> None:
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(samples, classes)), rng.integers(0, classes, samples)
    batch = samples + 2

    def objective() -> float:
        return float(loss_gradient(classes, x, labels, batch, kernel)["loss"][0])

    expected = {"dx": slope(objective, x)}
    got = loss_gradient(classes, x, labels, batch, kernels)
    assert_close(got, expected, DIFFERENCE_TOLERANCE)


@EXAMPLES
@given(layer=layers(), samples=st.integers(1, 2), seed=seeds, small=tile_sizes)
def test_layer_gradients_equal_central_differences(layer, samples, seed, small):
    with tiles(small=small):
        check_differences(layer, whole_groups(layer, samples), seed)


@EXAMPLES
@given(samples=st.integers(1, 4), classes=st.integers(2, 6), seed=seeds)
def test_loss_gradient_equals_central_differences(samples, classes, seed):
    check_loss_differences(samples, classes, seed)


# The contract of every backend: its own kernels against the oracles above.


def there(name: str) -> Backend:
    try:
        return backend(name)
    except BackendUnavailable as error:
        pytest.skip(str(error))


def check_backend(layer: Layer, samples: int, seed: int, by: Backend) -> None:
    check_value = check_formula if layer.kind in FORMULAS else check_layer_definitions
    check_value(layer, samples, seed, by.kernel)
    check_differences(layer, samples, seed, by.kernel)


OF_BACKENDS = tuple({name.partition(".")[0]: "" for name in onednn.KERNELS})
"""Kinds that backends have kernels of their own for."""


@pytest.mark.parametrize("name", backend_names())
@settings(max_examples=15, deadline=None)
@given(layer=layers(OF_BACKENDS), samples=st.integers(1, 3), seed=seeds, small=st.booleans())
def test_a_backend_computes_what_is_defined(name, layer, samples, seed, small):
    with patch.object(onednn, "SMALL", 0 if small else onednn.SMALL):
        check_backend(layer, samples, seed, there(name))


@pytest.mark.parametrize("name", backend_names())
def test_a_backend_with_a_fault_is_caught(name):
    faulty = replace(there(name), own={"conv2d.forward": turned_kernel})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_backend(CONV, 2, 0, faulty)


def test_a_backend_without_its_library_is_refused_in_one_sentence(monkeypatch):
    def nowhere(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", nowhere)
    with pytest.raises(
        BackendUnavailable, match=r"^backend 'onednn': expected PyTorch, .*foreplan.oracle"
    ):
        backend.__wrapped__("onednn")


# Oracle 3: PyTorch, where it is installed.


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


dtypes = st.sampled_from(["float32", "float64"])


@EXAMPLES
@given(layer=layers(), samples=st.integers(1, 5), seed=seeds, dtype=dtypes, small=tile_sizes)
def test_layer_outputs_and_gradients_equal_pytorch(layer, samples, seed, dtype, small):
    with tiles(small=small):
        check_torch(layer, whole_groups(layer, samples), seed, dtype)


@EXAMPLES
@given(samples=st.integers(1, 5), classes=st.integers(2, 12), seed=seeds, dtype=dtypes)
def test_loss_and_its_gradient_equal_pytorch(samples, classes, seed, dtype):
    check_torch_loss(samples, classes, seed, dtype)


@EXAMPLES
@given(name=st.sampled_from(OPTIMIZERS), elements=st.integers(1, 20), seed=seeds, dtype=dtypes)
def test_three_updates_equal_those_of_pytorch(name, elements, seed, dtype):
    check_torch_update(name, elements, seed, dtype)


# Seeded faults: each oracle is shown to fail.


def wrong_stride(dy, w, dx, work, *, stride, tile):
    kernel("conv2d.input_grad")(dy, w, dx, work, stride=stride - 1, tile=tile)


def one_bias_gradient(x, dy, dw, db, work, **how):
    kernel("conv2d.weight_grad")(x, dy, dw, db, work, **how)
    db[:] = dy[..., 0].sum(axis=(1, 2))


def turned_kernel(x, w, b, y, work, **how):
    turned = np.ascontiguousarray(w[..., ::-1])
    kernel("conv2d.forward")(x, turned, b, y, work, **how)


def transposed_groups(dy, w, dx, work, **how):
    kernel("conv2d.input_grad")(dy, np.ascontiguousarray(w[::-1]), dx, work, **how)


def passed_below_zero(y, dy, dx, work):
    dx[:] = dy


def passed_to_all(x, y, dy, dx, work, **how):
    kernel("max_pool.input_grad")(x, np.full_like(y, np.inf), dy, dx, work, **how)


def without_the_mean(x, dy, w, stats, sums, dx, work, **how):
    kernel("batch_norm.input_grad")(x, dy, w, stats, 0 * sums, dx, work, **how)


def own_scale_only(x, y, scale, dy, dx, work, *, size):
    dx[:] = dy * scale**-0.75


def only_first_place(y, x1, dy, dx0, dx1, work):
    kernel("gate.input_grad")(y, x1, dy, dx0, dx1, work)
    dx1[:] = (y * dy / x1)[:, :1, :1]


def other_half(y, dy, dx):
    dx[:] = dy * y


def of_the_factor_alone(x, dy, dx, work):
    dx[:] = dy / (1 + np.exp(-x))


def turned_parts(dy, *results):
    for dx, part in zip(results, (dy[1:], dy[:1]), strict=True):
        dx[:] = part[: len(dx)]


def samples_apart(x, w, b, y, stats, work, *, group):
    stats[:] = 0
    normalised(x, w, b, y, group=1)


def low_border(x, y, **how):
    kernel("max_pool.forward")(x, y, **how)
    np.maximum(y, 0, out=y)


def no_bias(x, w, b, y):
    np.dot(x, w, out=y)


def mean_bias_gradient(x, dy, dw, db):
    kernel("linear.weight_grad")(x, dy, dw, db)
    db /= len(x)


def summed_over_nothing(x, dy, dw, work, *, first, tied):
    dw[:] = 0
    dw[x[:, first : first + dy.shape[1]]] = dy


def all_rows(dy, dw):
    dw[:] = dy.sum(axis=(0, 1))


def unshared_mean(x, dy, w, stats, dx, work):
    dx[:] = w * dy * stats[1][..., None]


def without_the_slope(x, dy, dx, work):
    dx[:] = dy * 0.5 * (1 + np.tanh(SLOPE * (x + CUBIC * x**3)))


def to_last_token(dy, dx):
    dx[:] = 0
    dx[:, -1] = dy


def picked_once(x1, dy, dx0, *, first):
    dx0[:] = 0
    for n, places in enumerate(x1[:, first : first + dy.shape[1]]):
        dx0[n, places] = dy[n]


def sees_all(x, stats, dy, dx, work, *, heads, causal):
    kernel("attention.input_grad")(x, stats, dy, dx, work, heads=heads, causal=0)


def not_hidden(x, y, stats, work, *, heads, causal):
    kernel("attention.forward")(x, y, stats, work, heads=heads, causal=0)


def deviation_alone(x, w, b, y, stats, work):
    y[:] = w * x / x.std(axis=-1, keepdims=True) + b


def half_weights(dy, w, dx):
    kernel("linear.input_grad")(dy, w / 2, dx)


def unsquared(y, dy, dx):
    dx[:] = dy * (1 - y)


def sum_of_window(x, y, *, window):
    kernel("avg_pool.forward")(x, y, window=window)
    y *= window**2


def undivided(dy, dx, *, window):
    kernel("avg_pool.input_grad")(dy, dx, window=window)
    dx *= window**2


def unmoved_batch_axis(dy, dx):
    dx[:] = dy.reshape(dx.shape)


def gradient_of_the_sum(x, labels, dx, stats, *, batch):
    kernel("softmax_cross_entropy.forward")(x, labels, dx, stats, batch=batch)
    dx *= batch


def without_momentum(p, g, m, *, learning_rate, momentum):
    kernel("sgd.update")(p, g, m, learning_rate=learning_rate, momentum=0.0)


def decayed_with_the_gradient(p, g, m, v, *, weight_decay, **how):
    g += weight_decay * p
    kernel("adamw.update")(p, g, m, v, weight_decay=0.0, **how)


def as_in_the_first_step(p, g, m, v, *, step, **how):
    kernel("adamw.update")(p, g, m, v, step=lambda: 0, **how)


def unscaled(x, y, mask, work, *, percent, stream):
    kernel("dropout.forward")(x, y, mask, work, percent=percent, stream=stream)
    np.multiply(x, mask, out=y)


def of_the_batch_start(x, y, mask, work, *, percent, stream):
    first = stream()._replace(first=0)
    kernel("dropout.forward")(x, y, mask, work, percent=percent, stream=lambda: first)


def of_the_first_place(dy, dx, *, factor):
    dx[:] = dy[:, ::factor, ::factor]


def passed_by_the_mask(mask, dy, dx, *, percent):
    dx[:] = dy


CONV = layer("conv2d", (2, 7, 6), channels=3, kernel=2, stride=2)
LINEAR = layer("linear", (4,), features=3)
POOL = layer("avg_pool", (2, 4, 6), window=2)
PADDED = layer("conv2d", (2, 5, 5), channels=2, kernel=3, pad=1, pad_w=0, stride=1, groups=2)
MAX = layer("max_pool", (2, 5, 5), window=3, stride=2, pad=1)
NORM = layer("batch_norm", (2, 3, 2), group=2)
PAIR = layer("concat", (1, 2, 2), (1, 2, 2))
LARGER = layer("upsample", (2, 2, 3), factor=2)
WORDS = layer("embedding", (5,), vocab=2, features=2, first=1, tokens=4)
PICKED = layer("pick_tokens", (2, 3), (6,), tokens=5, first=1)
HEADS = layer("attention", (4, 12), heads=2, causal=1)
DROPOUT = layer("dropout", (3, 2, 3), percent=20)
GRADIENT_FAULTS = [
    (CONV, "conv2d.input_grad", wrong_stride),
    (CONV, "conv2d.weight_grad", one_bias_gradient),
    (PADDED, "conv2d.input_grad", transposed_groups),
    (LINEAR, "linear.weight_grad", mean_bias_gradient),
    (LINEAR, "linear.input_grad", half_weights),
    (layer("tanh", (5,)), "tanh.input_grad", unsquared),
    (POOL, "avg_pool.input_grad", undivided),
    (layer("flatten", (2, 3, 2)), "flatten.input_grad", unmoved_batch_axis),
    (layer("relu", (9,)), "relu.input_grad", passed_below_zero),
    (PAIR, "concat.input_grad", turned_parts),
    (LARGER, "upsample.input_grad", of_the_first_place),
    (WORDS, "embedding.weight_grad", summed_over_nothing),
    (layer("positions", (3, 2), positions=4), "positions.weight_grad", all_rows),
    (layer("gelu", (7,)), "gelu.input_grad", without_the_slope),
    (layer("first_token", (3, 2)), "first_token.input_grad", to_last_token),
    (PICKED, "pick_tokens.input_grad", picked_once),
]
ROUNDLY_COUNTED_FAULTS = [
    (MAX, "max_pool.input_grad", passed_to_all),
    (NORM, "batch_norm.input_grad", without_the_mean),
    (layer("lrn", (6, 2, 2), size=5), "lrn.input_grad", own_scale_only),
    (layer("gate", (2, 3, 3), (2, 1, 1)), "gate.input_grad", only_first_place),
    (layer("sigmoid", (5,)), "sigmoid.input_grad", other_half),
    (layer("layer_norm", (3, 4)), "layer_norm.input_grad", unshared_mean),
    (HEADS, "attention.input_grad", sees_all),
    (layer("silu", (5,)), "silu.input_grad", of_the_factor_alone),
    (DROPOUT, "dropout.input_grad", passed_by_the_mask),
]
FORMULA_FAULTS = [
    (MAX, "max_pool.forward", low_border),
    (NORM, "batch_norm.forward", samples_apart),
    (layer("layer_norm", (3, 4)), "layer_norm.forward", deviation_alone),
    (HEADS, "attention.forward", not_hidden),
    (DROPOUT, "dropout.forward", unscaled),
    (DROPOUT, "dropout.forward", of_the_batch_start),
]
FORWARD_FAULTS = [
    (CONV, "conv2d.forward", turned_kernel),
    (LINEAR, "linear.forward", no_bias),
    (POOL, "avg_pool.forward", sum_of_window),
]


def with_fault(name: str, fault: Kernel) -> Kernels:
    return lambda asked: fault if asked == name else kernel(asked)


def parameters(*rows: tuple[Layer, str, Kernel]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("layer", "name", "fault"), rows, ids=lambda v: str(v)[:24])


@parameters(*GRADIENT_FAULTS, *ROUNDLY_COUNTED_FAULTS)
def test_central_differences_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_differences(layer, 2, 0, with_fault(name, fault))


@parameters(*GRADIENT_FAULTS, *FORWARD_FAULTS)
def test_definitions_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_layer_definitions(layer, 2, 0, with_fault(name, fault))


@parameters(*FORMULA_FAULTS)
def test_formulas_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_formula(layer, 2, 0, with_fault(name, fault))


@parameters(*GRADIENT_FAULTS, *FORWARD_FAULTS, *ROUNDLY_COUNTED_FAULTS, *FORMULA_FAULTS)
def test_pytorch_catches_a_fault_in(layer, name, fault):
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch(layer, 2, 0, kernels=with_fault(name, fault))


FAULTY_LOSS = with_fault("softmax_cross_entropy.forward", gradient_of_the_sum)
UPDATE_FAULTS = pytest.mark.parametrize(
    ("name", "fault"),
    [("sgd", without_momentum), ("adamw", decayed_with_the_gradient)],
)


def test_definition_and_differences_catch_an_undivided_gradient_of_the_loss():
    call = steps.loss(logits_model(4), 3, "float64", 5)
    rng = np.random.default_rng(0)
    tensors = {"x": rng.normal(size=(3, 4)), "labels": np.array([0, 3, 1])}
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_definition(call, tensors, FAULTY_LOSS)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_loss_differences(3, 4, 0, FAULTY_LOSS)


def test_pytorch_catches_an_undivided_gradient_of_the_loss():
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_loss(3, 4, 0, kernels=FAULTY_LOSS)


@UPDATE_FAULTS
def test_definitions_catch_an_update_that_is(name, fault):
    call = update_call(name, 4)
    tensors = update_tensors(call, np.random.default_rng(0))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_definition(call, tensors, with_fault(f"{name}.update", fault))


@UPDATE_FAULTS
def test_pytorch_catches_an_update_that_is(name, fault):
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_update(name, 4, 0, "float64", with_fault(f"{name}.update", fault))


def test_pytorch_catches_moments_that_stay_as_corrected_as_in_the_first_step():
    pytorch()
    faulty = with_fault("adamw.update", as_in_the_first_step)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_update("adamw", 4, 0, "float64", faulty)


def test_counting_catches_a_multiply_add_declared_as_one_flop():
    tensors = values(LINEAR, 2, "float64", 0)
    call = LINEAR.call("forward", 2, "float64")
    with pytest.raises(AssertionError, match="FLOP counted"):
        check_definition(replace(call, flop=call.flop // 2), tensors)

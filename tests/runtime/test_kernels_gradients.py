"""Kernels against three oracles: their definitions in loops, central differences and PyTorch."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import steps
from planner.build import chain
from planner.layer import Layer
from planner.model import ModelGraph
from planner.opcall import OpCall
from runtime.kernels import Kernel, kernel

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


def layer(kind: str, in_shape: tuple[int, ...], **attrs: int) -> Layer:
    return Layer(name=kind, kind=kind, in_shapes=(in_shape,), attrs=tuple(sorted(attrs.items())))


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    kind = draw(st.sampled_from(["conv2d", "linear", "tanh", "avg_pool", "flatten"]))
    few = st.integers(1, 3)
    if kind == "linear":
        return layer(kind, (draw(st.integers(1, 5)),), features=draw(st.integers(1, 5)))
    if kind == "conv2d":
        size = draw(few)
        sides = (draw(st.integers(size, size + 4)), draw(st.integers(size, size + 4)))
        return layer(kind, (draw(few), *sides), channels=draw(few), kernel=size, stride=draw(few))
    if kind == "avg_pool":
        window = draw(few)
        sides = (draw(st.integers(window, 6)), draw(st.integers(window, 6)))
        return layer(kind, (draw(few), *sides), window=window)
    if kind == "tanh" and draw(st.booleans()):
        return layer(kind, (draw(st.integers(1, 6)),))
    return layer(kind, (draw(few), draw(few), draw(few)))


def logits_model(classes: int) -> ModelGraph:
    rows: list[tuple[str, str, dict[str, int]]] = [("output", "linear", {"features": classes})]
    return ModelGraph(name="m", blocks=chain((3,), rows), record_shape=(1, 3), classes=classes)


def values(layer: Layer, samples: int, dtype: str, seed: int) -> Arrays:
    """Random input, parameters and output gradient of ``layer``."""
    rng = np.random.default_rng(seed)
    names = ("x", *layer.parameters, "y")
    drawn = {name: rng.normal(size=layer.tensor(name, samples, dtype).shape) for name in names}
    drawn["dy"] = drawn.pop("y")
    return {name: array.astype(dtype) for name, array in drawn.items()}


def run(call: OpCall, tensors: Arrays, kernels: Kernels = kernel) -> None:
    """Run ``call`` on named arrays; what it writes starts as NaN, so nothing old can serve."""
    for tensor in call.writes:
        tensors[tensor.name] = np.full(tensor.shape, np.nan, tensor.dtype)
    arguments = [tensors[tensor.name] for tensor in call.tensors]
    kernels(call.kernel)(*arguments, **dict(call.attrs + call.settings))


def phases(layer: Layer) -> list[str]:
    return ["forward", *(["weight_grad"] if layer.parameters else []), "input_grad"]


def trained(layer: Layer, samples: int, given: Arrays, kernels: Kernels = kernel) -> Arrays:
    """Output and gradients of ``layer`` by the kernels."""
    tensors = dict(given)
    for phase in phases(layer):
        run(layer.call(phase, samples, given["x"].dtype.name), tensors, kernels)
    return {name: tensors[name] for name in ("y", "dx", *(f"d{p}" for p in layer.parameters))}


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

    def exp(self) -> "Counting":
        return self._counted(math.exp(self.value))

    __radd__, __rmul__ = __add__, __mul__


def conv2d_forward(x, w, b, y, cols, *, stride):
    for c, i, j, p, q, n in np.ndindex(cols.shape):
        cols[c, i, j, p, q, n] = x[c, p * stride + i, q * stride + j, n]
    for k, p, q, n in np.ndindex(y.shape):
        y[k, p, q, n] = b[k]
        for c, i, j in np.ndindex(w.shape[1:]):
            y[k, p, q, n] += w[k, c, i, j] * x[c, p * stride + i, q * stride + j, n]


def conv2d_weight_grad(cols, dy, dw, db):
    dw[:] = 0.0
    for k, c, i, j in np.ndindex(dw.shape):
        for p, q, n in np.ndindex(dy.shape[1:]):
            dw[k, c, i, j] += dy[k, p, q, n] * cols[c, i, j, p, q, n]
    db[:] = dy.astype(float).sum(axis=(1, 2, 3))  # outside the multiply-adds that are declared


def conv2d_input_grad(dy, w, dx, dcols, *, stride):
    dx[:] = 0.0
    for k, p, q, n in np.ndindex(dy.shape):
        for c, i, j in np.ndindex(w.shape[1:]):
            dx[c, p * stride + i, q * stride + j, n] += w[k, c, i, j] * dy[k, p, q, n]


def linear_forward(x, w, b, y):
    for n, g in np.ndindex(y.shape):
        y[n, g] = b[g]
        for f in range(len(w)):
            y[n, g] += x[n, f] * w[f, g]


def linear_weight_grad(x, dy, dw, db):
    dw[:] = 0.0
    for f, g in np.ndindex(dw.shape):
        for n in range(len(x)):
            dw[f, g] += x[n, f] * dy[n, g]
    db[:] = dy.astype(float).sum(axis=0)  # outside the multiply-adds that are declared


def linear_input_grad(dy, w, dx):
    dx[:] = 0.0
    for n, f in np.ndindex(dx.shape):
        for g in range(dy.shape[1]):
            dx[n, f] += dy[n, g] * w[f, g]


def tanh_forward(x, y):
    for at in np.ndindex(x.shape):
        y[at] = x[at].tanh()


def tanh_input_grad(y, dy, dx):
    for at in np.ndindex(y.shape):
        dx[at] = dy[at] * (1 - y[at] * y[at])


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


def definition(name: str) -> Kernel:
    found: Kernel = globals()[name.replace(".", "_")]
    return found


SCRATCH = {"conv2d.input_grad": {"dcols"}, "sgd.update": {"g"}}
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
        *(counting[tensor.name] for tensor in call.tensors), **dict(call.attrs + call.settings)
    )
    results = {t.name for t in (*call.updates, *call.writes)} - SCRATCH.get(call.kernel, set())
    return {name: counting[name].astype(float) for name in results}, tally[0]


def check_definition(call: OpCall, tensors: Arrays, kernels: Kernels = kernel) -> None:
    """Assert that kernel and definition give the same values and that the FLOP are as declared."""
    expected, flop = counted(call, {t.name: tensors[t.name] for t in (*call.reads, *call.updates)})
    got = {name: array.copy() for name, array in tensors.items()}
    run(call, got, kernels)
    terms = max(1, *(tensor.elements for tensor in call.tensors))
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


def fills_its_windows(layer: Layer) -> bool:
    """Whether no input is left out, as the closed form of the pooling FLOP supposes."""
    window = dict(layer.attrs).get("window", 1)
    return all(side % window == 0 for side in layer.in_shape[1:])


@EXAMPLES
@given(layer=layers().filter(fills_its_windows), samples=st.integers(1, 3), seed=seeds)
def test_layer_kernels_equal_their_definitions_in_value_and_flop(layer, samples, seed):
    check_layer_definitions(layer, samples, seed)


def step_calls(elements: int) -> list[OpCall]:
    return [
        steps.add(elements, "float64"),
        steps.update(elements, "float64", learning_rate=0.3, momentum=0.9),
    ]


@EXAMPLES
@given(elements=st.integers(1, 20), seed=seeds)
def test_sum_and_update_equal_their_definitions_in_value_and_flop(elements, seed):
    rng = np.random.default_rng(seed)
    for call in step_calls(elements):
        check_definition(call, {t.name: rng.normal(size=t.shape) for t in call.tensors})


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

    expected = {f"d{name}": slope(objective, given[name]) for name in ("x", *layer.parameters)}
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
@given(layer=layers(), samples=st.integers(1, 2), seed=seeds)
def test_layer_gradients_equal_central_differences(layer, samples, seed):
    check_differences(layer, samples, seed)


@EXAMPLES
@given(samples=st.integers(1, 4), classes=st.integers(2, 6), seed=seeds)
def test_loss_gradient_equals_central_differences(samples, classes, seed):
    check_loss_differences(samples, classes, seed)


# Oracle 3: PyTorch, where it is installed.


def pytorch() -> ModuleType:
    reason = "PyTorch is not installed; pip install 'foreplan[oracle]' to compare with it"
    module: ModuleType = pytest.importorskip("torch", reason=reason)
    return module


def torch_output(torch: ModuleType, layer: Layer, t: dict[str, Any]) -> Any:
    """Output of ``layer`` in our layout, computed by PyTorch in its own."""
    attrs = dict(layer.attrs)
    images = t["x"].permute(3, 0, 1, 2) if t["x"].ndim == 4 else t["x"]
    match layer.kind:
        case "conv2d":
            stride = attrs.get("stride", 1)
            maps = torch.nn.functional.conv2d(images, t["w"], t["b"], stride=stride)
            return maps.permute(1, 2, 3, 0)
        case "avg_pool":
            return torch.nn.functional.avg_pool2d(images, attrs["window"]).permute(1, 2, 3, 0)
        case "linear":
            return torch.nn.functional.linear(t["x"], t["w"].T, t["b"])
        case "tanh":
            return torch.tanh(t["x"])
        case "flatten":
            return images.flatten(1)
    raise AssertionError(layer.kind)


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
    leaves = {
        name: torch.tensor(given[name], requires_grad=True) for name in ("x", *layer.parameters)
    }
    output = torch_output(torch, layer, leaves)
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
    loss = torch.nn.functional.cross_entropy(leaf, torch.tensor(labels), reduction="sum") / batch
    loss.backward()
    hits = (leaf.argmax(dim=1) == torch.tensor(labels)).sum()
    expected = {"dx": leaf.grad.numpy(), "loss": loss.detach().numpy(), "hits": hits.numpy()}
    tolerance = EPS_MULTIPLE * float(np.finfo(dtype).eps) * math.sqrt(samples * classes)
    assert_close(loss_gradient(classes, x, labels, batch, kernels), expected, tolerance)


def check_torch_update(elements: int, seed: int, dtype: str, kernels: Kernels = kernel) -> None:
    torch = pytorch()
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=elements), rng.normal(size=(3, elements))
    leaf = torch.tensor(start.astype(dtype), requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=0.3, momentum=0.9)
    call = steps.update(elements, dtype, learning_rate=0.3, momentum=0.9)
    tensors = {"p": start.astype(dtype), "m": np.zeros(elements, dtype)}
    for gradient in gradients.astype(dtype):
        leaf.grad = torch.tensor(gradient)
        optimizer.step()
        run(call, tensors | {"g": gradient.copy()}, kernels)
    tolerance = EPS_MULTIPLE * float(np.finfo(dtype).eps)
    assert_close(tensors, {"p": leaf.detach().numpy()}, tolerance)


dtypes = st.sampled_from(["float32", "float64"])


@EXAMPLES
@given(layer=layers(), samples=st.integers(1, 5), seed=seeds, dtype=dtypes)
def test_layer_outputs_and_gradients_equal_pytorch(layer, samples, seed, dtype):
    check_torch(layer, samples, seed, dtype)


@EXAMPLES
@given(samples=st.integers(1, 5), classes=st.integers(2, 12), seed=seeds, dtype=dtypes)
def test_loss_and_its_gradient_equal_pytorch(samples, classes, seed, dtype):
    check_torch_loss(samples, classes, seed, dtype)


@EXAMPLES
@given(elements=st.integers(1, 20), seed=seeds, dtype=dtypes)
def test_three_updates_equal_pytorch_sgd(elements, seed, dtype):
    check_torch_update(elements, seed, dtype)


# Seeded faults: each oracle is shown to fail.


def wrong_stride(dy, w, dx, dcols, *, stride):
    kernel("conv2d.input_grad")(dy, w, dx, dcols, stride=stride - 1)


def one_bias_gradient(cols, dy, dw, db):
    kernel("conv2d.weight_grad")(cols, dy, dw, db)
    db[:] = dy[..., 0].sum(axis=(1, 2))


def turned_kernel(x, w, b, y, cols, *, stride):
    turned = np.ascontiguousarray(w[..., ::-1])
    kernel("conv2d.forward")(x, turned, b, y, cols, stride=stride)


def no_bias(x, w, b, y):
    np.dot(x, w, out=y)


def mean_bias_gradient(x, dy, dw, db):
    kernel("linear.weight_grad")(x, dy, dw, db)
    db /= len(x)


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


CONV = layer("conv2d", (2, 7, 6), channels=3, kernel=2, stride=2)
LINEAR = layer("linear", (4,), features=3)
POOL = layer("avg_pool", (2, 4, 6), window=2)
GRADIENT_FAULTS = [
    (CONV, "conv2d.input_grad", wrong_stride),
    (CONV, "conv2d.weight_grad", one_bias_gradient),
    (LINEAR, "linear.weight_grad", mean_bias_gradient),
    (LINEAR, "linear.input_grad", half_weights),
    (layer("tanh", (5,)), "tanh.input_grad", unsquared),
    (POOL, "avg_pool.input_grad", undivided),
    (layer("flatten", (2, 3, 2)), "flatten.input_grad", unmoved_batch_axis),
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


@parameters(*GRADIENT_FAULTS)
def test_central_differences_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_differences(layer, 2, 0, with_fault(name, fault))


@parameters(*GRADIENT_FAULTS, *FORWARD_FAULTS)
def test_definitions_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_layer_definitions(layer, 2, 0, with_fault(name, fault))


@parameters(*GRADIENT_FAULTS, *FORWARD_FAULTS)
def test_pytorch_catches_a_fault_in(layer, name, fault):
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch(layer, 2, 0, kernels=with_fault(name, fault))


FAULTY_LOSS = with_fault("softmax_cross_entropy.forward", gradient_of_the_sum)
FAULTY_UPDATE = with_fault("sgd.update", without_momentum)


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


def test_definition_catches_a_lost_momentum():
    call = step_calls(4)[1]
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_definition(call, {name: rng.normal(size=4) for name in "pgm"}, FAULTY_UPDATE)


def test_pytorch_catches_a_lost_momentum():
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_update(4, 0, "float64", FAULTY_UPDATE)


def test_counting_catches_a_multiply_add_declared_as_one_flop():
    tensors = values(LINEAR, 2, "float64", 0)
    call = LINEAR.call("forward", 2, "float64")
    with pytest.raises(AssertionError, match="FLOP counted"):
        check_definition(replace(call, flop=call.flop // 2), tensors)

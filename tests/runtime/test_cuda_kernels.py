"""Every kernel of the CUDA backend against its NumPy twin, here and where there is a GPU.

Here its C++ is compiled for the host and run by NumPy's arrays in the device's layout
(``tests/runtime/cuda_host.py``); with CuPy and a GPU the same cases run there.
"""

import importlib
from dataclasses import replace
from importlib import util

import numpy as np
import pytest

from hwprofiles.registry import names
from planner import steps
from planner.layer import Layer
from planner.model import load_model
from planner.opcall import OpCall, Tensor
from planner.optimizer import optimizer_names, update
from planner.plan import Training
from planner.precision import SCALING, judge, kept_dtype
from runtime import kernels as numpy_kernels
from runtime.arena import dtype_of
from runtime.cuda import layout
from runtime.cuda.backend import HOST_ONLY, changing, kernel, missing
from runtime.cuda.engine import using
from runtime.cuda.tape import Kept
from runtime.kernels import Stream
from tests.runtime.cuda_host import texts

MAPS, TEXT = (6, 9, 8), (5, 12)


def layer(kind: str, *in_shapes: tuple[int, ...], **attrs: int) -> Layer:
    return Layer(
        name=kind,
        kind=kind,
        in_shapes=in_shapes,
        inputs=tuple("abc"[: len(in_shapes)]),
        attrs=tuple(attrs.items()),
    )


LAYERS = [
    layer("conv2d", MAPS, channels=4, kernel=3, pad=1, groups=2, bias=0),
    layer("conv2d", MAPS, channels=5, kernel=3, kernel_w=2, pad=1, pad_w=0, stride=2),
    layer("conv2d", MAPS, channels=3, kernel=1),
    layer("conv2d", (6, 7, 7), channels=6, kernel=3, stride=2, pad=1, groups=6),
    layer("avg_pool", MAPS, window=3, stride=2, pad=1),
    layer("avg_pool", (6, 8, 8), window=8),
    layer("max_pool", MAPS, window=3, stride=2, pad=1),
    layer("max_pool", MAPS, window=3, stride=2, ceil=1),
    layer("max_pool", MAPS, window=2),
    layer("batch_norm", MAPS, group=2),
    layer("batch_norm", MAPS, group=32),
    layer("lrn", MAPS, size=5),
    layer("relu", MAPS),
    layer("tanh", TEXT),
    layer("sigmoid", MAPS),
    layer("silu", MAPS),
    layer("gelu", TEXT),
    layer("gate", MAPS, (6, 1, 1)),
    layer("concat", MAPS, (3, 9, 8)),
    layer("concat", (7,), (4,)),
    layer("upsample", MAPS, factor=2),
    layer("add", MAPS, MAPS, MAPS),
    layer("dropout", MAPS),
    layer("dropout", (13,)),
    layer("flatten", MAPS),
    layer("layer_norm", TEXT),
    layer("attention", (5, 24), heads=2, causal=1),
    layer("attention", (5, 24), heads=2, causal=0),
    layer("attention", (9, 96), heads=2, causal=1),
    layer("lstm", TEXT, features=7),
    layer("lstm", TEXT, features=3, reverse=1),
    layer("embedding", (7,), vocab=6, features=5),
    layer("positions", TEXT, positions=9),
    layer("linear", TEXT, features=7),
    layer("linear", (11,), features=7),
    layer("unembedding", TEXT, vocab=9, bias=1),
    layer("unembedding", TEXT, vocab=9, bias=0),
    layer("pick_tokens", TEXT, (8,), tokens=4),
    layer("first_token", TEXT),
]
SAMPLES = 4


def cases() -> dict[str, OpCall]:
    """Every kernel that a step calls, in every form."""
    calls = [steps.add(1000, "float64")]
    calls += [
        update(Training(batch=1, dtype="float64", optimizer=name), 777)
        for name in optimizer_names()
    ]
    for name in ("lenet-5", "mlp", "gpt-nano", "bert-base:16", "resnet-50"):
        model = load_model(name)
        samples = 1 if name == "resnet-50" else 3
        calls.append(steps.load(model, samples, "float64"))
        calls.append(steps.loss(model, samples, "float64", batch=12))
    for each in LAYERS:
        phases = ("forward", "weight_grad", "input_grad")
        there = [p for p in phases if hasattr(each.module, p)]
        calls += [each.call(phase, SAMPLES, "float64") for phase in there]
    return {call.signature: call for call in (*calls, *halves())}


def halves() -> list[OpCall]:
    """What only a training in float16 calls, in float64."""
    trainings = [Training(batch=1, dtype="float16", optimizer=name) for name in optimizer_names()]
    calls = [judge(5000, "float16"), *(update(training, 777) for training in trainings)]
    models = map(load_model, ("lenet-5", "gpt-nano", "bert-base:16"))
    calls += [steps.loss(model, 3, "float16", batch=12) for model in models]

    def wide(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        floats = ("float16", "float32")
        return tuple(replace(t, dtype="float64") if t.dtype in floats else t for t in tensors)

    return [
        replace(
            call,
            dtype="float64",
            **{kind: wide(getattr(call, kind)) for kind in ("reads", "updates", "writes")},
        )
        for call in calls
    ]


CASES = cases()


ERROR = {"float64": 1e-12, "float32": 2e-4, "float16": 1e-2, "bfloat16": 6e-2}
"""Largest error of a result, of the largest value: rounding of inputs and outputs, and of sums."""


class Device:
    """Where the kernels run: arrays go there in a dtype and a layout, and come back."""

    def __init__(self, xp, dtype: str, back) -> None:
        self.xp, self.dtype, self.back = xp, dtype, back
        self.kept: set[str] = set()
        """Tensors of the call that stay wide beside halves."""

    def lay(self, array: np.ndarray, tensor: Tensor):
        """Lay an array out as the device has it; floats in its dtype, loss statistics apart."""
        if tensor.name != "stats" or array.ndim > 1:
            array = self.rounded(array, tensor)
        order = layout.order(tensor)
        laid = self.xp.ascontiguousarray(self.xp.asarray(array).transpose(order))
        return laid.transpose(np.argsort(order)) if laid.ndim else laid

    def rounded(self, array: np.ndarray, tensor: Tensor) -> np.ndarray:
        floats = tensor.dtype.startswith("float")
        dtype = kept_dtype(self.dtype) if tensor.name in self.kept else self.dtype
        return array.astype(dtype_of(dtype)) if floats else array


DTYPES = ERROR if util.find_spec("cupy") else ["float64"]


@pytest.fixture(scope="module", params=["host-float64", *(f"cupy-{dtype}" for dtype in DTYPES)])
def device(request):
    where, _, dtype = request.param.partition("-")
    if where == "cupy":
        if reason := missing():
            pytest.skip(reason)
        import cupy

        yield Device(cupy, dtype, cupy.asnumpy)
        return
    with using(request.getfixturevalue("host_engine")):
        yield Device(np, dtype, np.asarray)


def drawn(tensor: Tensor) -> np.ndarray:
    rng = np.random.default_rng([*tensor.name.encode()])
    if tensor.name == "scaling":
        return np.array([8, 5, 1 / 8, 2], tensor.dtype)
    if tensor.dtype in ("uint8", "int64"):
        return rng.integers(0, tensor.below or 2, tensor.shape).astype(tensor.dtype)
    array = rng.normal(size=tensor.shape).astype(tensor.dtype)
    positive = tensor.name in ("exp_avg_sq", "scale", "x1", "y")
    return np.abs(array) + 0.1 if positive else array


def arguments(call: OpCall, device: Device) -> dict[str, np.ndarray]:
    """Inputs, rounded as on the device; what is written or workspace holds NaN, or as much."""
    arrays = {
        t.name: device.rounded(drawn(t), t).astype(t.dtype) for t in (*call.reads, *call.updates)
    }
    for t in (*call.writes, *call.work):
        arrays[t.name] = np.full(t.shape, np.nan if t.dtype.startswith("float") else 85, t.dtype)
    if dict(call.attrs).get("tied"):
        arrays["dw"] = np.ones_like(arrays["dw"])
    how = dict(call.attrs)
    if call.kernel == "max_pool.input_grad":  # what is no maximum gets no gradient
        numpy_kernels.kernel("max_pool.forward")(arrays["x"], arrays["y"], **how)
    if call.kernel == "attention.input_grad":
        others = np.empty_like(arrays["dy"]), arrays["stats"], np.empty(arrays["work"].size)
        numpy_kernels.kernel("attention.forward")(arrays["x"], *others, **how)
    return arrays


def now(call: OpCall, given) -> dict[str, object]:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 200, call.writes[-1].shape, dtype=np.uint8) if call.writes else None

    def fetch(array):
        array[...] = given(raw, call.writes[-1])

    return {"fetch": fetch, "stream": lambda: Stream(1, 2, 3, 4), "step": lambda: 5}


def rolled(array: np.ndarray) -> np.ndarray:
    """Other values of a float array: what a kernel keeps of them shows."""
    return np.roll(array, 1) if array.dtype.kind == "f" else array


def twins(call: OpCall, device: Device) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What both backends leave in all tensors: a GPU's when done again, as in every step."""
    settings = dict(call.attrs + call.settings)
    device.kept = {SCALING, *(t.name for t in call.updates if call.kernel.endswith(".mixed"))}
    expected, got = arguments(call, device), arguments(call, device)
    more = now(call, lambda array, tensor: array)
    more = {key: more[key] for key in numpy_kernels.changing(call.kernel)}
    run = numpy_kernels.kernel(call.kernel)
    run(*(expected[t.name] for t in call.tensors), **settings, **more)
    laid = {t.name: device.lay(rolled(got[t.name]), t) for t in call.tensors}
    more = now(call, device.lay)
    more = {key: more[key] for key in changing(call.kernel)}
    run = kernel(call.kernel) if more else Kept(kernel(call.kernel))
    run(*laid.values(), **settings, **more)
    for t in call.tensors:
        laid[t.name][...] = device.lay(got[t.name], t)
    run(*laid.values(), **settings, **more)
    return expected, {name: device.back(array) for name, array in laid.items()}


def scratch_of(call: OpCall) -> set[str]:
    """Tensors of no meaning afterwards: workspace, and the gradient that an optimizer has used."""
    return {t.name for t in call.work} | ({"g"} if call.kernel.endswith(".update") else set())


@pytest.mark.parametrize("call", list(CASES.values()), ids=list(CASES))
def test_a_kernel_gives_what_its_numpy_twin_gives(call, device):
    expected, got = twins(call, device)
    for tensor in call.tensors:
        if tensor.name in scratch_of(call):
            continue
        largest = max(1.0, float(np.abs(expected[tensor.name]).max()))
        np.testing.assert_allclose(
            got[tensor.name].astype(np.float64),
            expected[tensor.name],
            rtol=0,
            atol=ERROR[device.dtype] * largest,
            err_msg=f"{call.signature}: {tensor.name}",
        )


def test_every_kernel_of_a_step_has_a_twin_and_no_other():
    stems = set(names("runtime.kernels"))
    assert set(names("runtime.cuda.kernels")) == stems
    called = {call.kernel.partition(".")[0] for call in CASES.values()}
    assert stems - called == {"input"}, "a kernel file without a case above"
    assert all(name.startswith("input.") for name in HOST_ONLY)


def test_texts_have_distinct_names():
    found = [text.name for text in texts()]
    assert len(set(found)) == len(found)


def test_a_wrong_kernel_is_seen(device, monkeypatch):
    """The comparison has teeth: a rectifier that is another function fails."""
    relu = importlib.import_module("runtime.cuda.kernels.relu")
    monkeypatch.setattr(
        relu, "_FORWARD", importlib.import_module("runtime.cuda.kernels.tanh")._FORWARD
    )
    call = layer("relu", MAPS).call("forward", SAMPLES, "float64")
    expected, got = twins(call, device)
    assert not np.allclose(expected["y"], got["y"])


def test_columns_that_do_not_fit_at_once_are_gathered_in_turn(device, monkeypatch):
    """The fallback of a convolution, its gradient added up over some places at a time."""
    conv2d = importlib.import_module("runtime.cuda.kernels.conv2d")
    monkeypatch.setattr(conv2d, "MOST_COLUMNS", 2000)
    of = layer("conv2d", MAPS, channels=4, kernel=3, pad=1, groups=2, bias=0)
    for phase in ("forward", "weight_grad", "input_grad"):
        test_a_kernel_gives_what_its_numpy_twin_gives(of.call(phase, SAMPLES, "float64"), device)


def test_scores_that_do_not_fit_at_once_are_worked_out_in_turn(device, monkeypatch):
    """The plain form of attention, some samples at a time."""
    attention = importlib.import_module("runtime.cuda.kernels.attention")
    monkeypatch.setattr(attention, "MOST_SCORES", 150)
    of = layer("attention", (5, 24), heads=2, causal=1)
    for phase in ("forward", "input_grad"):
        test_a_kernel_gives_what_its_numpy_twin_gives(of.call(phase, SAMPLES, "float64"), device)

"""What holds for every kernel: found by name, writes all its results, allocates nothing."""

import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from hwprofiles.units import KIB, MIB
from planner import steps
from planner.layer import Layer
from planner.model import load_model
from planner.opcall import OpCall, Tensor
from planner.optimizer import optimizer_names, update
from planner.plan import Training
from runtime.kernels import Stream, changing, kernel

pytestmark = pytest.mark.slow

SAMPLES = 32
MODELS = ["lenet-5", "mlp", "gpt-nano", "lstm-nano:4"]  # drawn gates explode over many tokens
SAMPLES_OF = {"gpt-nano": 4}
"""Of models whose samples are larger."""
FLOAT32_ERROR = float(np.finfo(np.float32).eps) * (SAMPLES * 28 * 28) ** 0.5
"""Of the largest value: eps sqrt(summands) of the longest sum, a bias gradient of ``c1``."""


def model_calls(name: str, dtype: str, samples: int = 0) -> dict[str, OpCall]:
    """Every op call of a training step, by signature."""
    model, samples = load_model(name), samples or SAMPLES_OF.get(name, SAMPLES)
    calls = [
        steps.load(model, samples, dtype),
        steps.loss(model, samples, dtype, batch=samples),
        steps.add(model.parameter_count, dtype),
        *(
            update(Training(batch=1, dtype=dtype, optimizer=name), model.parameter_count)
            for name in optimizer_names()
        ),
    ]
    for layer in model.layers:
        phases = ("forward", "input_grad", "weight_grad")
        there = (phase for phase in phases if hasattr(layer.module, phase))
        calls += [layer.call(phase, samples, dtype) for phase in there]
    return {call.signature: call for call in calls}


ALL_CALLS = {
    signature: call
    for name in MODELS
    for dtype in ("float32", "float64")
    for signature, call in model_calls(name, dtype).items()
}
every_call = pytest.mark.parametrize("call", list(ALL_CALLS.values()), ids=list(ALL_CALLS))


def drawn(tensor: Tensor, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, *tensor.name.encode()])
    if tensor.dtype in ("uint8", "int64"):
        return rng.integers(0, 10, tensor.shape).astype(tensor.dtype)
    array = rng.normal(size=tensor.shape).astype(tensor.dtype)
    return np.abs(array) if tensor.name == "exp_avg_sq" else array


def bound(call: OpCall, arrays: dict[str, np.ndarray]) -> Callable[[], None]:
    """Return the call as a function of nothing."""
    settings: dict[str, object] = dict(call.attrs + call.settings)
    records = drawn(call.writes[-1], seed=1) if call.writes else None
    now = {
        "fetch": lambda raw: np.copyto(raw, records),
        "stream": lambda: Stream(1, 2, 3, 4),
        "step": lambda: 5,
    }
    settings |= {name: now[name] for name in changing(call.kernel)}
    return partial(kernel(call.kernel), *(arrays[t.name] for t in call.tensors), **settings)


def run(call: OpCall, arrays: dict[str, np.ndarray]) -> None:
    bound(call, arrays)()


def arguments(call: OpCall, old: float) -> dict[str, np.ndarray]:
    """Random inputs; what the call writes holds ``old`` before, its workspace NaN."""
    arrays = {tensor.name: drawn(tensor, seed=0) for tensor in (*call.reads, *call.updates)}
    unset = {"int64": 85}
    arrays |= {t.name: np.full(t.shape, unset.get(t.dtype, np.nan), t.dtype) for t in call.work}
    return arrays | {t.name: np.full(t.shape, old).astype(t.dtype) for t in call.writes}


def peak_bytes(task: Callable[[], None]) -> int:
    """Most memory that Python and NumPy held for ``task`` at one time."""
    task()  # what the first call of a process allocates for good is not the task's
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        task()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before


@every_call
def test_kernel_allocates_at_most_a_mebibyte_and_a_kibibyte(call):
    assert peak_bytes(bound(call, arguments(call, old=0.0))) <= MIB + KIB


def layer(kind: str, *in_shapes: tuple[int, ...], **attrs: int) -> Layer:
    return Layer(
        name=kind,
        kind=kind,
        in_shapes=in_shapes,
        inputs=tuple("abc"[: len(in_shapes)]),
        attrs=tuple(attrs.items()),
    )


WIDE, TEXT = (4, 64, 64), (64, 256)
LARGE = [
    layer("conv2d", WIDE, channels=4, kernel=3, pad=1, groups=2, bias=0),
    layer("conv2d", WIDE, channels=4, kernel=3, pad=1, stride=2),
    layer("conv2d", WIDE, channels=4, kernel=1),
    layer("avg_pool", WIDE, window=3, stride=2, pad=1),
    layer("avg_pool", WIDE, window=64),
    layer("max_pool", WIDE, window=3, stride=2, pad=1),
    layer("batch_norm", WIDE, group=32),
    layer("lrn", WIDE, size=5),
    layer("relu", WIDE),
    layer("sigmoid", WIDE),
    layer("silu", WIDE),
    layer("gate", WIDE, (4, 1, 1)),
    layer("concat", WIDE, WIDE),
    layer("upsample", WIDE),
    layer("dropout", WIDE),
    layer("dropout", (1 << 16,)),
    layer("add", WIDE, WIDE, WIDE),
    layer("layer_norm", TEXT),
    layer("gelu", TEXT),
    layer("attention", (64, 768), heads=4, causal=1),
    layer("lstm", TEXT, features=64),
    layer("embedding", (64,), vocab=1000, features=256),
    layer("positions", TEXT, positions=512),
    layer("linear", TEXT, features=256),
    layer("unembedding", TEXT, vocab=500, bias=1),
    layer("pick_tokens", TEXT, (40,), tokens=40),
    layer("first_token", TEXT),
]


@pytest.mark.parametrize("layer", LARGE, ids=lambda x: x.kind)
def test_kernels_of_maps_of_many_mebibytes_allocate_as_little(layer):
    """A channel of one of these is 1 MiB in float64."""
    phases = [p for p in ("forward", "weight_grad", "input_grad") if hasattr(layer.module, p)]
    for phase in phases:
        call = layer.call(phase, SAMPLES, "float64")
        arrays = {name: np.abs(array) for name, array in arguments(call, old=0.0).items()}
        assert peak_bytes(bound(call, arrays)) <= MIB + KIB, call.signature


def test_allocations_stay_small_when_the_microbatch_is_large():
    for call in model_calls("lenet-5", "float32", samples=256).values():
        assert peak_bytes(bound(call, arguments(call, old=0.0))) <= MIB + KIB, call.signature


def test_allocation_oracle_sees_a_kernel_without_out():
    x = np.zeros((6, 64, 28, 28), np.float32)  # 1.2 MB, the output of c1
    assert peak_bytes(lambda: np.copyto(x, np.tanh(x))) > MIB + KIB


@every_call
def test_result_does_not_depend_on_what_the_results_held(call):
    one, other = arguments(call, old=7.0), arguments(call, old=3.0)
    run(call, one)
    run(call, other)
    for tensor in (*call.reads, *call.updates, *call.writes):
        name = tensor.name
        np.testing.assert_array_equal(other[name], one[name], err_msg=name)


@every_call
def test_what_is_only_read_stays_as_it_was(call):
    arrays = arguments(call, old=0.0)
    before = {tensor.name: arrays[tensor.name].copy() for tensor in call.reads}
    run(call, arrays)
    for name, array in before.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.mark.parametrize("name", MODELS)
def test_float32_gives_the_values_of_float64(name):
    pairs = zip(
        model_calls(name, "float32").values(), model_calls(name, "float64").values(), strict=True
    )
    for single, double in pairs:
        got, expected = arguments(single, old=0.0), arguments(double, old=0.0)
        run(single, got)
        run(double, expected)
        for tensor in (*single.updates, *single.writes):
            exact = expected[tensor.name]
            bound = FLOAT32_ERROR * max(1.0, np.abs(exact).max())
            np.testing.assert_allclose(
                got[tensor.name], exact, rtol=0, atol=bound, err_msg=single.signature
            )

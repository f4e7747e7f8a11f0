"""What holds for every kernel: found by name, writes all its results, allocates nothing."""

import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hwprofiles.errors import BackendUnavailable
from hwprofiles.units import KIB, MIB
from planner import steps
from planner.build import chain
from planner.input_calls import stage_calls
from planner.layer import Layer
from planner.model import ModelGraph, load_model, model_names
from planner.opcall import OpCall, Tensor
from planner.opsets import plan_calls
from planner.optimizer import optimizer_names, update
from planner.plan import Source, Training
from runtime.kernels import Stream, changing, kernel, load, refuse_missing, sources_sha256
from tests.planner_cases import case

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
    layer("lstm", TEXT, features=256),
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


def test_a_loss_of_many_tokens_allocates_as_little():
    call = steps.loss(load_model("gpt-nano"), 200, "float64", 200)  # 12,800 rows of logits
    assert peak_bytes(bound(call, arguments(call, old=0.0))) <= MIB + KIB


def test_a_loss_of_tokens_is_that_of_as_many_samples():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(3, 5, 7)), rng.integers(0, 7, (3, 5))
    dx, stats, flat_dx, flat_stats = (
        np.empty((3, 5, 7)),
        np.empty(2),
        np.empty((15, 7)),
        np.empty(2),
    )
    kernel("softmax_cross_entropy.forward")(x, labels, dx, stats, batch=4)
    rows = (x.reshape(15, 7), labels.reshape(15))
    kernel("softmax_cross_entropy.forward")(*rows, flat_dx, flat_stats, batch=4 * 5)
    np.testing.assert_array_equal(dx.reshape(15, 7), flat_dx)
    np.testing.assert_array_equal(stats, flat_stats)


def test_a_loss_of_two_heads_is_the_sum_of_theirs():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(3, 2)), rng.normal(size=(3, 4, 6))
    labels = np.concatenate([rng.integers(0, 2, (3, 1)), rng.integers(0, 6, (3, 4))], axis=1)
    dx, stats = [np.empty_like(x) for x in pairs], np.empty(2)
    kernel("softmax_cross_entropy.heads")(*pairs, labels, *dx, stats, batch=5)
    expected = np.zeros(2)
    for x, part, gradient in zip(pairs, (labels[:, 0], labels[:, 1:]), dx, strict=True):
        own, own_stats = np.empty_like(x), np.empty(2)
        kernel("softmax_cross_entropy.forward")(x, part, own, own_stats, batch=5)
        np.testing.assert_array_equal(gradient, own)
        expected += own_stats
    np.testing.assert_allclose(stats, expected, rtol=1e-12)


def test_a_tied_table_gets_its_gradient_on_top_of_what_is_there():
    x, dy = np.array([[2, 0, 2]]), np.arange(6.0).reshape(1, 3, 2)
    dw = np.ones((3, 2))
    kernel("embedding.weight_grad")(x, dy, dw, first=0, tied=1)
    np.testing.assert_array_equal(dw, [[1 + 2, 1 + 3], [1, 1], [1 + 0 + 4, 1 + 1 + 5]])


def test_one_token_among_others_gives_its_row_a_gradient():
    x, dy, dw = np.array([[9, 1], [9, 0]]), np.arange(4.0).reshape(2, 1, 2), np.empty((2, 2))
    kernel("embedding.weight_grad")(x, dy, dw, first=1, tied=0)
    np.testing.assert_array_equal(dw, [[2, 3], [0, 1]])


@pytest.mark.parametrize(("shifted", "labels"), [(1, (3,)), (0, (1,))])
def test_load_of_tokens_of_two_bytes(shifted, labels):
    numbers = np.array([[7, 300, 2, 65535]], "<u2")
    x, found = np.empty((1, 3), np.int64), np.empty((1, *labels), np.int64)
    raw = np.empty((1, 8), np.uint8)
    how = {"item_bytes": 2, "shifted": shifted}
    load.tokens(x, found, raw, **how, fetch=lambda out: np.copyto(out, numbers.view(np.uint8)))
    np.testing.assert_array_equal(x, [[7, 300, 2]] if shifted else [[300, 2, 65535]])
    np.testing.assert_array_equal(found, [[300, 2, 65535]] if shifted else [[7]])


@pytest.mark.parametrize("encoding", ["raw", "zlib"])
def test_an_input_pipeline_decodes_text_as_a_load_does(encoding):
    loading = steps.load(load_model("gpt-nano"), 2, "float32")
    records = np.random.default_rng(0).integers(0, 256, loading.writes[2].shape, dtype=np.uint8)
    once = arguments(loading, old=0.0)
    settings = dict(loading.attrs)
    kernel(loading.kernel)(*once.values(), fetch=lambda raw: np.copyto(raw, records), **settings)
    training = Training(batch=2, source=Source(encoding=encoding, stored_bytes=100))
    decode = stage_calls(loading, training).decode
    given = {t.name: np.zeros(t.shape, t.dtype) for t in decode.tensors} | {"stored": records}
    if encoding == "zlib":
        packed = [zlib.compress(record.tobytes()).ljust(100, b"\0") for record in records]
        given["stored"] = np.array([list(row) for row in packed], np.uint8)
    run(decode, given)
    for name in ("x", "labels"):
        np.testing.assert_array_equal(given[name], once[name])


def test_large_logits_give_a_finite_loss():
    x = np.array([[1000.0, 0.0], [0.0, 1000.0]], np.float32)
    dx, stats = np.empty_like(x), np.empty(2)
    kernel("softmax_cross_entropy.forward")(x, np.array([0, 0]), dx, stats, batch=2)
    np.testing.assert_allclose(stats, [500.0, 1.0])  # losses 0 and 1000, one hit
    np.testing.assert_allclose(dx, [[0.0, 0.0], [-0.5, 0.5]])


def test_equal_logits_count_for_the_first_class():
    x, dx, stats = np.zeros((3, 4)), np.empty((3, 4)), np.empty(2)
    kernel("softmax_cross_entropy.forward")(x, np.array([0, 1, 3]), dx, stats, batch=3)
    np.testing.assert_allclose(stats, [np.log(4), 1.0])


DIGIT = {"height": 2, "width": 2, "full_scale": 16}


def test_load_repeats_every_pixel_and_scales_it_to_one():
    record = np.array([[7, 0, 16, 4, 8]], np.uint8)  # the label, then 2 x 2 pixels
    x, labels, raw = np.empty((2, 4, 6, 1)), np.empty(1, np.int64), np.empty((1, 5), np.uint8)
    load.records(
        x, labels, raw, height=2, width=2, full_scale=16, fetch=lambda out: np.copyto(out, record)
    )
    row_0, row_1 = [0, 0, 0, 1, 1, 1], [0.25, 0.25, 0.25, 0.5, 0.5, 0.5]
    expected = np.array([row_0, row_0, row_1, row_1])
    np.testing.assert_array_equal(x[..., 0], [expected, expected])
    assert labels == 7


def test_load_flattens_for_a_model_of_vectors():
    record = np.array([[3, 0, 16, 4, 8]], np.uint8)
    x, labels, raw = np.empty((1, 4), "float32"), np.empty(1, np.int64), np.empty((1, 5), np.uint8)
    load.records(
        x, labels, raw, height=2, width=2, full_scale=16, fetch=lambda out: np.copyto(out, record)
    )
    np.testing.assert_array_equal(x, [[0, 1, 0.25, 0.5]])
    assert labels == 3


def test_load_repeats_channels_and_reads_labels_of_two_bytes():
    record = np.array([[0xE7, 3, 0, 51, 102, 255]], np.uint8)  # the label, then 2 x 1 x 2 values
    x, labels, raw = np.empty((4, 1, 4, 1)), np.empty(1, np.int64), np.empty((1, 6), np.uint8)
    sides = {"channels": 2, "height": 1, "width": 2, "full_scale": 255}
    load.records(x, labels, raw, **sides, fetch=lambda out: np.copyto(out, record))
    low, high = [0, 0, 0.2, 0.2], [0.4, 0.4, 1, 1]
    np.testing.assert_allclose(x[:, 0, :, 0], [low, low, high, high])
    assert labels == 999


def test_pooling_leaves_out_what_fills_no_window():
    x = np.arange(15.0).reshape(1, 3, 5, 1)
    y, dx = np.empty((1, 1, 2, 1)), np.full_like(x, np.nan)
    kernel("avg_pool.forward")(x, y, window=2)
    np.testing.assert_array_equal(y.ravel(), [(0 + 1 + 5 + 6) / 4, (2 + 3 + 7 + 8) / 4])
    kernel("avg_pool.input_grad")(np.array([[[[4.0], [8.0]]]]), dx, window=2)
    np.testing.assert_array_equal(dx[0, ..., 0], [[1, 1, 2, 2, 0], [1, 1, 2, 2, 0], [0] * 5])


def test_every_op_of_the_models_has_its_kernel():
    assert {call.kernel for call in ALL_CALLS.values()} == {
        "add.accumulate",
        "add.forward",
        *(f"attention.{phase}" for phase in ("forward", "input_grad")),
        *(f"embedding.{phase}" for phase in ("forward", "weight_grad")),
        *(f"gelu.{phase}" for phase in ("forward", "input_grad")),
        *(f"layer_norm.{phase}" for phase in ("forward", "input_grad", "weight_grad")),
        "load.tokens",
        *(f"lstm.{phase}" for phase in ("forward", "input_grad", "weight_grad")),
        *(f"positions.{phase}" for phase in ("forward", "weight_grad")),
        *(f"unembedding.{phase}" for phase in ("forward", "input_grad", "weight_grad")),
        *(f"avg_pool.{phase}" for phase in ("forward", "input_grad")),
        *(f"conv2d.{phase}" for phase in ("forward", "input_grad", "weight_grad")),
        *(f"flatten.{phase}" for phase in ("forward", "input_grad")),
        *(f"linear.{phase}" for phase in ("forward", "input_grad", "weight_grad")),
        "load.records",
        *(f"{name}.update" for name in optimizer_names()),
        "softmax_cross_entropy.forward",
        *(f"tanh.{phase}" for phase in ("forward", "input_grad")),
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv3d.forward", "NumPy kernel file 'conv3d': unknown; did you mean conv2d"),
        ("conv2d.backward", "conv2d kernel 'backward': unknown; .*forward, input_grad, weight"),
        ("avg_pool._corners", "avg_pool kernel '_corners': unknown"),
        ("load.Callable", "load kernel 'Callable': unknown"),
        ("tanh", "tanh kernel '': unknown; known: forward, input_grad"),
        ("../secret.run", "NumPy kernel file '': unknown"),
    ],
)
def test_unknown_kernel_is_refused_with_the_known_ones(name, message):
    with pytest.raises(BackendUnavailable, match=message):
        kernel(name)


def test_hash_of_the_sources_changes_with_any_byte_of_any_kernel(tmp_path, monkeypatch):
    copied = {}
    for source in Path(load.__file__).parent.glob("*.py"):
        copied[source.name] = tmp_path / source.name
        copied[source.name].write_bytes(source.read_bytes())
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    seen = {sources_sha256()}
    kernels = sorted(copied.keys() - {"__init__.py"})
    for name in kernels:
        copied[name].write_bytes(copied[name].read_bytes() + b"\n")
        seen.add(sources_sha256())
    assert len(seen) == 1 + len(kernels)


def test_hash_of_the_sources_imports_no_kernel():
    code = (
        "import sys; from runtime.kernels import sources_sha256; print(sources_sha256());"
        "sys.exit(any(m.startswith('runtime.kernels.') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sources_sha256()


def calls_of(*rows, shape=(1, 6, 6)):
    """Op calls of a plan of a model: the rows, then what makes 3 logits of them."""
    ends = [("flat", "flatten", {}), ("out", "linear", {"features": 3})]
    blocks = chain(shape, [*rows, *ends])
    model = ModelGraph(name="m", blocks=blocks, record_shape=(3, 3), classes=3)
    c = case(model, workers=1, microbatch=2, batch=2)
    return plan_calls(model, c.training, c.plan).values()


CONV = {"channels": 2, "kernel": 3}


def test_a_model_without_kernels_is_refused_with_all_that_are_missing():
    missing = "mish.forward, mish.input_grad"
    message = f"model 'm': the NumPy backend has no kernel for {missing} as this model calls it"
    calls = calls_of(("c", "conv2d", CONV), ("r", "relu", {}))
    calls = [replace(call, kernel=call.kernel.replace("relu", "mish")) for call in calls]
    with pytest.raises(BackendUnavailable, match=message):
        refuse_missing("m", calls)


@pytest.mark.parametrize("name", model_names())
def test_every_built_in_model_has_its_kernels(name):
    model = load_model(name)
    group = model.norm_group
    c = case(model, workers=1, microbatch=group, batch=group)
    refuse_missing(name, plan_calls(model, c.training, c.plan).values())


@pytest.mark.parametrize(
    "change",
    [{"attrs": (("leak", 1),)}, {"reads": ()}, {"work": ()}],
    ids=["attribute", "fewer arguments", "no workspace"],
)
def test_a_kernel_that_does_not_take_what_a_call_gives_is_missing(change):
    calls = list(calls_of(("c", "conv2d", CONV), ("s", "silu", {})))
    at = next(i for i, call in enumerate(calls) if call.kernel == "silu.input_grad")
    calls[at] = replace(calls[at], **change)
    with pytest.raises(BackendUnavailable, match=r"has no kernel for silu\.input_grad as this"):
        refuse_missing("m", calls)


def test_a_model_whose_kernels_there_are_is_not_refused():
    conv = ("c", "conv2d", CONV | {"pad": 1, "bias": 0})
    pool = ("p", "avg_pool", {"window": 2})
    refuse_missing("m", calls_of(conv, ("n", "batch_norm", {}), ("r", "relu", {}), pool))

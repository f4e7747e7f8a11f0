"""Which kernels there are: every op has one, others are refused, the hash sees each byte."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hwprofiles.errors import BackendUnavailable
from planner.build import chain
from planner.model import ModelGraph, load_model, model_names
from planner.opsets import plan_calls
from planner.optimizer import optimizer_names
from runtime.kernels import kernel, load, refuse_missing, sources_sha256
from tests.planner_cases import case
from tests.runtime.test_kernels import ALL_CALLS

pytestmark = pytest.mark.slow


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

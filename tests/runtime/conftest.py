"""Shared by the tests of the runtime: a job for two workers, and the processes that do it."""

import importlib
import os
import shutil
import sys
from importlib import util
from pathlib import Path

import pytest

from planner.plan import Training
from planner.records import to_jsonable
from runtime.backends import backend
from runtime.cuda import cupy_engine
from runtime.cuda.backend import missing
from tests.runtime.cuda_host import HostEngine, texts


@pytest.fixture
def job(home, plan_file, dp):
    plans = plan_file("mlp", Training(batch=64), dp(2, 32), dp(1, 64))
    return {
        "kind": "train",
        "cores": [0, 1],
        "identity": {},
        "plans": to_jsonable(plans),
        "pick": 0,
        "train": str(home / "data" / "digits-train.rec"),
        "test": str(home / "data" / "digits-test.rec"),
        "steps": 40,
        "warmup": 0,
        "traced": 0,
        "solo": False,
        "sentinels": False,
        "expected": {},
        "parameters": "",
    }


@pytest.fixture
def workers_by_rank(our_workers):
    """``workers_by_rank()``: the worker processes that this process has started, by rank."""

    def find():
        found = [p for p in our_workers() if p.name().startswith("python")]
        return {int(p.environ()["PMI_RANK"]): p for p in found}

    return find


@pytest.fixture(scope="session")
def host_engine(tmp_path_factory):
    """An engine of the CUDA backend that a compiler here has made: float64, once for all tests."""
    if not shutil.which("g++"):
        pytest.skip("no C++ compiler to run the kernels here")
    return HostEngine(texts(), "float64", tmp_path_factory.mktemp("cuda"))


TINY = """
name = "tiny"
input = [64]
record = [8, 8]
full_scale = 16
classes = 10
layer = [
  {name = "h", kind = "linear", features = 24},
  {name = "t", kind = "tanh"},
  {name = "out", kind = "linear", features = 10},
]
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Path of a perceptron of 1,810 parameters."""
    path = tmp_path_factory.mktemp("models") / "tiny.toml"
    path.write_text(TINY)
    return str(path)


FAKES = Path(__file__).parents[1] / "fakes"


@pytest.fixture
def fake_gpu(host_engine, monkeypatch):
    """A GPU that is not there: CuPy, cuBLAS, NCCL, cuDNN of ``tests/fakes``, here and in workers.

    Its kernels are those of the host's compiler, in float64.
    """
    if util.find_spec("cupy"):
        pytest.skip("CuPy itself is installed")
    root = str(FAKES.parents[1])
    monkeypatch.syspath_prepend(str(FAKES))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKES), root]))
    monkeypatch.setenv("TMPDIR", str(host_engine.folder))
    monkeypatch.setattr("runtime.cuda.engine._current", [])
    forget = (missing, backend, cupy_engine._compiled)
    for cached in forget:
        cached.cache_clear()
    yield importlib.import_module("cupy")
    for cached in forget:
        cached.cache_clear()
    for name in [n for n in sys.modules if n.partition(".")[0] in STANDS_FOR]:
        del sys.modules[name]


STANDS_FOR = ("cupy", "cupy_backends", "cudnn")

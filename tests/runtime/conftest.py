"""Shared by the tests of the runtime: a job for two workers, and the processes that do it."""

import shutil

import pytest

from planner.plan import Training
from planner.records import to_jsonable
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

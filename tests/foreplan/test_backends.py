"""A backend is chosen aloud, and its costs are never those of another."""

from dataclasses import replace

import pytest

import foreplan
from foreplan.machines import Local, load_machine, local_backend
from hwprofiles.errors import BackendUnavailable, PlanError
from planner.plan import Training
from planner.records import write_record
from runtime.backends import Backend, backend


def test_a_plan_of_one_backend_is_not_run_with_another(plan_file, dp, tmp_path):
    path = tmp_path / "plan.json"
    plans = plan_file("mlp", Training(batch=2), dp(1, 2))
    write_record(path, replace(plans, cluster="local:onednn"))
    with pytest.raises(PlanError, match=r"priced with backend 'onednn', got --backend 'numpy'"):
        foreplan.execute(path, data=tmp_path, backend="numpy")


def test_a_backend_that_there_is_not_is_refused_wherever_it_is_named():
    with pytest.raises(BackendUnavailable, match=r"'abacus': unknown; .*: cuda, mkl, numpy, one"):
        load_machine("local:abacus")
    assert local_backend("dgx-a100-80g:16") is None


def test_what_one_backend_has_measured_is_nothing_to_another(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREPLAN_HOME", str(tmp_path))
    here = Local.here()
    other = Backend(name="abacus", library="wood", allocates=True, own={})
    there = replace(here, backend=other)
    assert (here.name, there.name) == ("local", "local:abacus")
    mine, theirs = here.identity(1), there.identity(1)
    assert mine.key != theirs.key
    assert mine.differs(theirs) == [
        "backend: numpy here, abacus there",
        "backend library:  here, wood there",
    ]
    assert "--backend abacus" in there.calibrating


def test_kernels_that_a_backend_lacks_are_numpys():
    numpys = backend("numpy").kernel
    own = replace(backend("numpy"), name="abacus", own={"tanh.forward": print})
    assert own.kernel("tanh.forward") is print
    assert own.kernel("tanh.input_grad") is numpys("tanh.input_grad")
    assert own.has("tanh.forward")
    assert not own.has("tanh.input_grad")


def test_the_sources_of_a_backend_are_all_its_files():
    one = Backend(name="mkl", library="MKL", allocates=True, own={"tanh.forward": print})
    hashes = {replace(one, parts=parts).sources_sha256() for parts in ((), ("_gemm",))}
    assert len(hashes) == 2
    assert replace(one, own={}).sources_sha256() == backend("numpy").sources_sha256()

"""Identity: equal facts, equal key; the parent's thread variables do not reach a worker."""

from dataclasses import fields, replace

import pytest

from hwprofiles.errors import BackendUnavailable, RecordError
from hwprofiles.identity import (
    THREAD_VARIABLES,
    BlasFacts,
    Identity,
    blas_facts,
    cpu_model,
    probe_identity,
    worker_environment,
)

IDENTITY = Identity(
    device="CPU",
    lanes=2,
    blas_library="openblas",
    blas_version="0.3",
    blas_architecture="Haswell",
    blas_threads=1,
    kernels_sha256="ab",
    environment=(("OMP_NUM_THREADS", "1"),),
    context=(("kernel", "6.1"), ("numpy", "2.1")),
)
OTHER = {
    "device": "another",
    "lanes": 1,
    "blas_library": "mkl",
    "blas_version": "0.4",
    "blas_architecture": "SkylakeX",
    "blas_threads": 2,
    "kernels_sha256": "cd",
    "backend": "onednn",
    "backend_library": "PyTorch 2",
    "environment": (("OMP_NUM_THREADS", "1"), ("OPENBLAS_CORETYPE", "Haswell")),
}


def test_every_fact_but_the_context_changes_the_key():
    assert {f.name for f in fields(Identity)} == OTHER.keys() | {"context"}
    here = replace(IDENTITY, backend="abacus", backend_library="wood")
    keys = {replace(here, **{name: value}).key for name, value in OTHER.items()}
    assert len(keys | {here.key, IDENTITY.key}) == len(OTHER) + 2
    assert replace(IDENTITY, context=()).key == IDENTITY.key


def test_the_key_does_not_move_between_versions():
    # A key that moved would orphan every measurement in every store.
    assert IDENTITY.key == "d6626c1224512cf242aeab52e25e5e30d5dbf4771770a0a2031a9caf505f9b29"


@pytest.mark.parametrize(("name", "value"), OTHER.items())
def test_each_difference_is_one_readable_sentence(name, value):
    (sentence,) = IDENTITY.differs(replace(IDENTITY, **{name: value}))
    assert " here, " in sentence
    assert sentence.endswith(" there")


def test_a_variable_that_is_not_set_says_so():
    other = replace(IDENTITY, environment=OTHER["environment"])
    assert IDENTITY.differs(other) == ["OPENBLAS_CORETYPE: not set here, Haswell there"]
    assert IDENTITY.differs(replace(IDENTITY, context=())) == []


def test_an_identity_from_before_there_were_backends_is_numpys():
    facts = IDENTITY.to_dict()
    del facts["backend"], facts["backend_library"]
    assert Identity.from_dict(facts) == IDENTITY


def test_an_identity_survives_its_dictionary():
    again = Identity.from_dict(IDENTITY.to_dict())
    assert (again, again.context) == (IDENTITY, IDENTITY.context)


def test_a_dictionary_with_odd_fields_is_refused():
    data = IDENTITY.to_dict() | {"tracks": 1}
    del data["lanes"]
    with pytest.raises(RecordError, match="odd: lanes, tracks"):
        Identity.from_dict(data)


def test_a_worker_gets_one_thread_and_keeps_kernel_choices_and_places():
    parent = {
        "OMP_NUM_THREADS": "8",
        "OPENBLAS_CORETYPE": "Haswell",
        "PATH": "/bin",
        "XDG_DATA_HOME": "/data",
        "NUMBA_CACHE_DIR": "/code",
        "CUDA_VISIBLE_DEVICES": "3",
        "NCCL_SOCKET_IFNAME": "eth1",
        "PYTHONHASHSEED": "7",
        "MKL_DYNAMIC": "1",
        "SECRET": "x",
    }
    assert worker_environment(parent) == {
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "OPENBLAS_CORETYPE": "Haswell",
        "PATH": "/bin",
        "XDG_DATA_HOME": "/data",
        "NUMBA_CACHE_DIR": "/code",
        "CUDA_VISIBLE_DEVICES": "3",
        "NCCL_SOCKET_IFNAME": "eth1",
        "PYTHONHASHSEED": "0",
        "MPIR_CVAR_POLLS_BEFORE_YIELD": "1",
    }


def test_a_worker_of_a_worker_has_the_same_environment():
    first = worker_environment({"PATH": "/bin", "OPENBLAS_L2_SIZE": "512"})
    assert worker_environment(first) == first


def test_the_probe_sees_what_a_worker_sees_whatever_the_parent_set(monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "3")
    identity = probe_identity(2, "ab")
    assert (identity.device, identity.lanes, identity.kernels_sha256) == (cpu_model(), 2, "ab")
    assert identity.blas_threads == 1
    assert identity.blas_library == blas_facts().library
    assert dict(identity.environment)["OMP_NUM_THREADS"] == "1"
    assert dict(identity.context).keys() == {"kernel", "numpy"}


def test_a_kernel_choice_of_openblas_is_another_identity(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    free = probe_identity(1, "ab")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    forced = probe_identity(1, "ab")
    assert free.key != forced.key


def test_a_worker_that_cannot_start_is_one_sentence(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(BackendUnavailable, match="expected NumPy and threadpoolctl to load"):
        probe_identity(1, "ab")


def test_numpys_blas_is_taken_and_no_blas_is_unknown():
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "1", "num_threads": 2}
    scipys = {**pool, "filepath": "scipy.libs/x.so", "architecture": "Zen"}
    numpys = {**pool, "filepath": "numpy.libs/x.so", "architecture": "Haswell"}
    openmp = {"user_api": "openmp", "num_threads": 2}
    facts = BlasFacts.from_pools([openmp, scipys, numpys])
    assert (facts.architecture, facts.threads) == ("Haswell", 2)
    assert BlasFacts.from_pools([openmp]) == BlasFacts()

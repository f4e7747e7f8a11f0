"""What the doctor finds: of this machine, and of one that lacks something."""

from pathlib import Path

import pytest

from runtime import health
from runtime.health import cpu_quota, machine_findings

NAMES = ["MPI", "BLAS", "backend cuda", "backend mkl", "backend onednn", "BLAS variables"]
NAMES += ["cores", "memory", "/dev/shm", "GPU", "CuPy", "cuDNN", "NCCL"]


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("400000 100000", 4.0)],
)
def test_a_quota_is_cores(text, cores):
    assert cpu_quota(text) == cores


@pytest.mark.slow
def test_everything_is_looked_at_and_each_fault_has_its_fix():
    found = {row.name: row for row in machine_findings({"OPENBLAS_CORETYPE": "Haswell"})}
    assert list(found) == NAMES
    for row in found.values():
        assert row.verdict in ("ok", "warn", "fail", "absent")
        assert bool(row.fix) == (row.verdict != "ok"), row
    assert found["MPI"].verdict == "ok"
    assert "2 workers greeted" in found["MPI"].found
    assert found["BLAS"].found.endswith("1 thread in a worker")
    assert found["BLAS variables"].verdict == "warn"
    assert "OPENBLAS_CORETYPE=Haswell" in found["BLAS variables"].found


def test_no_mpiexec_is_a_failure_with_its_fix(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = health._mpi_and_blas()
    assert (row.name, row.verdict) == ("MPI", "fail")
    assert "mpich" in row.fix


@pytest.mark.parametrize(
    ("quota", "limit", "verdict"),
    [("max 100000", "max", "ok"), ("50000 100000", "1000000", "warn")],
)
def test_limits_of_a_container_are_seen(quota, limit, verdict, monkeypatch, tmp_path):
    (tmp_path / "cpu").write_text(quota)
    (tmp_path / "memory").write_text(limit)
    monkeypatch.setattr(health, "CPU_QUOTA", tmp_path / "cpu")
    monkeypatch.setattr(health, "MEMORY_LIMIT", tmp_path / "memory")
    assert health._cores().verdict == verdict
    assert health._memory().verdict == verdict


def test_no_shared_memory_is_a_failure(monkeypatch):
    monkeypatch.setattr(health, "SHM", Path("/nowhere"))
    assert health._shared_memory().verdict == "fail"

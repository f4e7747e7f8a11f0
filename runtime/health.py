"""What a run needs of this machine, tried rather than assumed; each fault comes with its fix."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofiles.errors import BackendUnavailable, ForeplanError
from hwprofiles.identity import RATE_VARIABLES
from hwprofiles.local import local_facts
from hwprofiles.units import format_bytes
from runtime.backends import backend, backend_names
from runtime.launch import launch, mpiexec

HELLO_S = 10.0
"""Silence after which two processes that greet each other are given up."""
PROBE_S = 20.0
"""What a process that looks at the GPUs may take."""
SHM = Path("/dev/shm")
SHM_LEAST_BYTES = 64 << 20  # what container engines give by default; MPICH wants more for 8 ranks
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_GPU_PROBE = """
import json
found = {}
import cupy
found["cupy"] = cupy.__version__
found["devices"] = cupy.cuda.runtime.getDeviceCount()
found["name"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
try:
    from cupy.cuda import nccl
    found["nccl"] = nccl.get_version() if nccl.available else None
except Exception:
    found["nccl"] = None
try:
    import cudnn
    found["cudnn"] = cudnn.backend_version()
except Exception:
    found["cudnn"] = None
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: str
    """``ok``; ``warn``: works, but not as well; ``fail``: a run will not work; ``absent``: not
    there, and not needed by every run."""
    found: str
    fix: str = ""
    """What to do; empty where all is well."""


def machine_findings(environ: Mapping[str, str]) -> list[Finding]:
    """Return what is found of processes, messages, BLAS, cores, memory and GPUs. About 2 s."""
    return [
        *_mpi_and_blas(),
        *_backends(),
        _rate_variables(environ),
        _cores(),
        _memory(),
        _shared_memory(),
        *_gpus(),
    ]


def greet(comm: Any) -> dict[str, Any]:
    """Exchange a message with every rank; return the MPI and the BLAS that a worker has."""
    from dataclasses import asdict

    from mpi4py import MPI

    from hwprofiles.identity import blas_facts

    ranks = comm.allgather(comm.rank)
    version = MPI.Get_library_version().split("\n")[0].strip("\x00").replace("\t", " ")
    return {"ranks": ranks, "mpi": " ".join(version.split()), "blas": asdict(blas_facts())}


def _mpi_and_blas() -> list[Finding]:
    """Start two workers as a run would, and let them greet each other."""
    try:
        where = mpiexec()
        job = {"kind": "greet", "cores": list(local_facts().cpus), "identity": {}}
        answer = launch(job, 2, timeout_s=HELLO_S, progress=lambda done, total: None)
    except (ForeplanError, RuntimeError) as error:
        last = str(error).strip().splitlines()[-1]
        fix = "pip install --force-reinstall mpich mpi4py, then see that `mpiexec -n 2 true` works"
        return [Finding(name="MPI", verdict="fail", found=last, fix=fix)]
    blas = answer["blas"]
    text = f"{blas['library']} {blas['version']}, {blas['architecture']} kernels"
    known = blas["library"] != "unknown"
    return [
        Finding(name="MPI", verdict="ok", found=f"{answer['mpi']}, 2 workers greeted ({where})"),
        Finding(
            name="BLAS",
            verdict="fail" if blas["threads"] != 1 else "ok" if known else "warn",
            found=f"{text}, {blas['threads']} thread in a worker",
            fix=""
            if blas["threads"] == 1 and known
            else "install NumPy from PyPI, whose OpenBLAS obeys OPENBLAS_NUM_THREADS",
        ),
    ]


def _backends() -> list[Finding]:
    """Return the backends beside NumPy's, which come with every installation."""
    found = []
    for name in backend_names():
        if name == "numpy":
            continue
        try:
            text, fix = f"{backend(name).library}; use it as cluster local:{name}", ""
        except BackendUnavailable as error:
            text, _, fix = str(error).rpartition("; ")
        verdict = "absent" if fix else "ok"
        found.append(Finding(name=f"backend {name}", verdict=verdict, found=text, fix=fix))
    return found


def _rate_variables(environ: Mapping[str, str]) -> Finding:
    found = [f"{name}={environ[name]}" for name in RATE_VARIABLES if environ.get(name)]
    return Finding(
        name="BLAS variables",
        verdict="warn" if found else "ok",
        found=", ".join(found) or f"none of {', '.join(RATE_VARIABLES)} set",
        fix="they choose kernels that may be half as fast: unset them, then `foreplan hw calibrate`"
        if found
        else "",
    )


def cpu_quota(text: str) -> float | None:
    """Return the cores that a cgroup's ``cpu.max`` allows; None for no limit."""
    words = text.split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _cores() -> Finding:
    facts = local_facts()
    quota = cpu_quota(CPU_QUOTA.read_text()) if CPU_QUOTA.exists() else None
    text = f"{facts.physical_cores} physical, {facts.logical_cores} logical of {os.cpu_count()}"
    if quota is not None and quota < facts.physical_cores:
        return Finding(
            name="cores",
            verdict="warn",
            found=f"{text}; a quota of {quota:g}",
            fix=f"workers are throttled beyond {quota:g}: raise the quota or plan for fewer",
        )
    return Finding(name="cores", verdict="ok", found=f"{text} usable here; {facts.cpu_model}")


def _memory() -> Finding:
    total = local_facts().memory_bytes
    text = MEMORY_LIMIT.read_text().strip() if MEMORY_LIMIT.exists() else "max"
    if text.isdecimal() and int(text) < total:
        return Finding(
            name="memory",
            verdict="warn",
            found=f"{format_bytes(total, 4)}, of which a cgroup allows {format_bytes(int(text))}",
            fix="plans count with all of it: raise the limit, or keep below it yourself",
        )
    return Finding(name="memory", verdict="ok", found=format_bytes(total, 4))


def _shared_memory() -> Finding:
    name = str(SHM)
    if not SHM.is_dir():
        return Finding(
            name=name, verdict="fail", found="none", fix="mount a tmpfs there, MPI needs it"
        )
    free = shutil.disk_usage(SHM).free
    small = free < SHM_LEAST_BYTES
    return Finding(
        name=name,
        verdict="warn" if small else "ok",
        found=f"{format_bytes(free)} free",
        fix="MPI exchanges through it: empty it, or start the container with --shm-size=1g"
        if small
        else "",
    )


def _gpus() -> list[Finding]:
    """Return GPU, CuPy, cuDNN and NCCL; a process of its own looks, for a driver may hang."""
    driver = shutil.which("nvidia-smi")
    names = _said([driver, "--query-gpu=name", "--format=csv,noheader"]) if driver else ""
    gpu = Finding(
        name="GPU",
        verdict="ok" if names else "absent",
        found=", ".join(names.splitlines()) or "none seen by nvidia-smi",
        fix="" if names else "only for GPUs: install the NVIDIA driver; CPUs need nothing",
    )
    extra = "pip install 'foreplan[cuda12]' or 'foreplan[cuda13]'"
    found: dict[str, Any] = {}
    if importlib.util.find_spec("cupy"):
        said = _said([sys.executable, "-c", _GPU_PROBE])
        found = json.loads(said) if said else {"cupy": None}
    return [
        gpu,
        _part("CuPy", found.get("cupy"), f"only for GPUs: {extra}"),
        _part("cuDNN", found.get("cudnn"), "only for GPUs: pip install nvidia-cudnn-frontend"),
        _part("NCCL", found.get("nccl"), f"only for several GPUs: {extra}, which brings it"),
    ]


def _part(name: str, version: object, fix: str) -> Finding:
    return Finding(
        name=name,
        verdict="ok" if version else "absent",
        found=f"version {version}" if version else "not found, or it does not load",
        fix="" if version else fix,
    )


def _said(command: list[str]) -> str:
    """Return what a command printed, nothing where it failed."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PROBE_S
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()

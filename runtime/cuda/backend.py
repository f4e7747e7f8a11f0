"""Kernels of the CUDA backend by name, and whether it can be used here."""

import hashlib
from functools import cache
from importlib import resources, util
from inspect import signature
from typing import Any

from hwprofiles.registry import names
from runtime.kernels import CHANGING, Kernel, kernel_in

HOST_ONLY = ("input.read", "input.decode", "input.inflate")
"""Kernels that the processes of an input pipeline run, with NumPy, whatever the backend."""
FOLDER = "runtime.cuda.kernels"


@cache
def kernel(name: str) -> Kernel:
    """Return the function that runs op calls whose ``kernel`` is ``name`` (``FILE.FUNCTION``).

    Raises
    ------
    BackendUnavailable
        When there is no such file or function; the message lists those there are.
    """
    return kernel_in(FOLDER, "CUDA", name)


def changing(name: str) -> tuple[str, ...]:
    """Return which keywords of ``CHANGING`` the kernel called ``name`` asks for."""
    return tuple(key for key in signature(kernel(name)).parameters if key in CHANGING)


@cache
def missing() -> str:
    """Say what this backend lacks here, in a sentence; nothing where it can be used."""
    if util.find_spec("cupy") is None:
        return "CuPy is not installed; install the extra `cuda12` or `cuda13`"
    import cupy

    if not cupy.cuda.is_available():
        return f"CuPy {cupy.__version__} finds no CUDA device"
    return ""


def sources_sha256() -> str:
    """Hash of the source of all that this backend computes with, as of the NumPy kernels."""
    digest = hashlib.sha256()
    for package in ("runtime.cuda", FOLDER):
        folder = resources.files(package)
        for stem in ("__init__", *names(package)):
            source = (folder / f"{stem}.py").read_bytes()
            digest.update(f"{package}.{stem} {len(source)}\n".encode())
            digest.update(source)
    return digest.hexdigest()


def versions() -> dict[str, Any]:
    """Return the versions that a measurement rests on: driver, CUDA, CuPy, cuDNN, NCCL."""
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(cupy.cuda.Device().id)
    found: dict[str, Any] = {
        "name": properties["name"].decode(),
        "memory_bytes": int(properties["totalGlobalMem"]),
        "multiprocessors": properties["multiProcessorCount"],
        "driver": runtime.driverGetVersion(),
        "cuda": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }
    if util.find_spec("cudnn") is not None:
        import cudnn

        found |= {"cudnn": cudnn.backend_version(), "cudnn_frontend": cudnn.__version__}
    from cupy.cuda import nccl

    if nccl.available:
        found["nccl"] = nccl.get_version()
    return found

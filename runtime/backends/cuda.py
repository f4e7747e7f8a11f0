"""A GPU for each worker (``runtime.cuda``): the place on the host says which one."""

import os

from hwprofiles.errors import BackendUnavailable
from runtime.context import launch_context
from runtime.device import Device
from runtime.kernels import Kernel

KERNELS: dict[str, Kernel] = {}
ALLOCATES = False


def library() -> str:
    """Return CuPy, CUDA and the GPU of this process."""
    from runtime.cuda.backend import missing, versions

    if reason := missing():
        raise BackendUnavailable(f"backend 'cuda': {reason}")
    found = versions()
    return f"CuPy {found['cupy']}, CUDA {found['cuda']}, {found['name']}"


def device() -> Device:
    """Return the GPU of this worker."""
    from runtime.cuda.device import CudaDevice

    return CudaDevice(place=launch_context(os.environ).local_rank)

"""Backends: who runs the op calls of a plan, one file each; ``numpy`` runs all of them.

A backend is a module with

``KERNELS``
    Its own kernels by name (``conv2d.forward``), with the contract of ``runtime.kernels``: same
    arguments, results into the arrays that are given. What it has not, NumPy's kernels run.
``ALLOCATES``
    Whether its library allocates beside the arena, out of our sight.
``library()``
    The library and its version, part of the identity of what is measured with it; raises
    ``BackendUnavailable`` where it is not there. It imports nothing heavy.

``device()``
    What a worker computes on, where that is not the host.
``PARTS``
    Files beside its own that it is made of, if any.

A backend is chosen aloud (``hw calibrate --backend NAME``, the cluster ``local:NAME``), never by
what happens to be installed: its times are kept under an identity of their own.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources

from hwprofiles.errors import BackendUnavailable
from hwprofiles.registry import lookup, names
from runtime import kernels
from runtime.device import Device, HostDevice
from runtime.kernels import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Kernels by name, and what a measurement must say of them."""

    name: str
    library: str
    """What it computes with beside NumPy, and its version; empty for NumPy itself."""
    allocates: bool
    """Whether its library allocates beside the arena, out of our sight."""
    own: Mapping[str, Kernel]
    parts: tuple[str, ...] = ()
    """Files beside its own that it is made of."""
    apart: Callable[[], Device] | None = None
    """Makes the device that a worker computes on; None for the host."""

    def device(self) -> Device:
        """Return what a worker of this backend computes on; once a worker."""
        return self.apart() if self.apart else HostDevice(self.kernel)

    @property
    def is_host(self) -> bool:
        """Whether its workers compute on the cores of this machine."""
        return self.apart is None

    def has(self, name: str) -> bool:
        """Whether a kernel is its own; NumPy's are all."""
        return not self.own or name in self.own

    def kernel(self, name: str) -> Kernel:
        """Return the function that runs op calls whose ``kernel`` is ``name``.

        Raises
        ------
        BackendUnavailable
            When neither this backend nor NumPy has it.
        """
        return self.own.get(name) or kernels.kernel(name)

    def sources_sha256(self) -> str:
        """Hash of the source of its kernels; NumPy's are part of every backend."""
        numpys = kernels.sources_sha256()
        if not self.own:
            return numpys
        folder = resources.files("runtime.backends")
        sources = [(folder / f"{stem}.py").read_bytes() for stem in (self.name, *self.parts)]
        return hashlib.sha256(numpys.encode() + b"".join(sources)).hexdigest()


def backend_names() -> list[str]:
    """Return the names of all backends, whether their libraries are there or not."""
    return names("runtime.backends")


@cache
def backend(name: str) -> Backend:
    """Return the backend called ``name``.

    Raises
    ------
    BackendUnavailable
        When there is none of that name, or its library is not installed.

    Examples
    --------
    >>> backend("numpy").kernel("tanh.forward").__module__
    'runtime.kernels.tanh'
    """
    found = lookup("backend", name, backend_names(), error=BackendUnavailable)
    module = import_module(f"runtime.backends.{found}")
    return Backend(
        name=found,
        library=module.library(),
        allocates=module.ALLOCATES,
        own=module.KERNELS,
        parts=getattr(module, "PARTS", ()),
        apart=getattr(module, "device", None),
    )

"""NumPy kernels, one file a layer kind or step op.

A kernel is called as ``f(*reads, *updates, *writes, **attrs, **settings)`` of its op call, whose
shapes ``planner.layers`` and ``planner.steps`` declare. Arrays are C-contiguous, of one float dtype
(float32 or float64) unless said otherwise, and do not overlap. A kernel writes into the arrays it
is given and allocates nothing of weight (at most 1 MiB + 1 KiB a task).
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module, resources
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import BackendUnavailable
from hwprofiles.registry import lookup, names
from planner.opcall import OpCall

Array = npt.NDArray[np.floating[Any]]
"""A float32 or float64 array."""

Kernel = Callable[..., None]


@cache
def kernel(name: str) -> Kernel:
    """Return the function that runs op calls whose ``kernel`` is ``name`` (``FILE.FUNCTION``).

    Raises
    ------
    BackendUnavailable
        When there is no such file or function; the message lists those there are.

    Examples
    --------
    >>> kernel("tanh.forward").__module__
    'runtime.kernels.tanh'
    """
    file, _, function = name.partition(".")
    stem = lookup("NumPy kernel file", file, names("runtime.kernels"), error=BackendUnavailable)
    module = import_module(f"runtime.kernels.{stem}")
    functions = {
        key: value
        for key, value in vars(module).items()
        if callable(value) and value.__module__ == module.__name__ and not key.startswith("_")
    }
    found = lookup(f"{stem} kernel", function, sorted(functions), error=BackendUnavailable)
    result: Kernel = functions[found]
    return result


def refuse_missing(model: str, calls: Iterable[OpCall]) -> None:
    """Refuse a model that calls kernels which there are not, or not in that form, naming them all.

    Raises
    ------
    BackendUnavailable
        When a call's kernel is missing.
    """
    missing = sorted({call.kernel for call in calls if not _runs(call)})
    if missing:
        raise BackendUnavailable(
            f"model {model!r}: the NumPy backend has no kernel for {', '.join(missing)} as this"
            " model calls it; plan and estimate the model, or run lenet-5 or mlp"
        )


def _runs(call: OpCall) -> bool:
    """Whether there is a kernel that takes these arguments."""
    settings = dict((*call.attrs, *call.settings))
    if call.kernel == "load.records":
        settings["fetch"] = 0
    try:
        signature(kernel(call.kernel)).bind(*call.tensors, **settings)
    except (BackendUnavailable, TypeError):
        return False
    return True


def sources_sha256() -> str:
    """Hash of the source of every kernel: name, length and bytes of each file, in name order.

    No kernel is imported, so the hash names the files on disk. It is part of an op's identity in
    the op store: a changed kernel is another op.
    """
    digest = hashlib.sha256()
    folder = resources.files("runtime.kernels")
    for stem in names("runtime.kernels"):
        source = (folder / f"{stem}.py").read_bytes()
        digest.update(f"{stem} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()

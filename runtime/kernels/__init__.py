"""NumPy kernels, one file a layer kind or step op.

A kernel is called as ``f(*reads, *updates, *writes, *work, **attrs, **settings)`` of its op call,
whose shapes ``planner.layers`` and ``planner.steps`` declare. Arrays are C-contiguous, of one float
dtype (float32 or float64) unless said otherwise, and do not overlap unless the kind works in place.
A kernel writes into the arrays it is given and allocates nothing of weight (at most 1 MiB + 1 KiB a
task). What changes from firing to firing (``CHANGING``) it asks for by a keyword.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module, resources
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwprofiles.errors import BackendUnavailable
from hwprofiles.registry import lookup, names
from planner.opcall import OpCall

Array = npt.NDArray[np.floating[Any]]
"""A float32 or float64 array."""

Kernel = Callable[..., None]
Product = Callable[..., object]
"""``product(a, b, out=c)`` writes ``a b``: ``np.dot`` and ``np.matmul``, or a backend's own."""
SHARED = ("_direct", "_packed", "_vectors")
"""Files of this folder that are no kernels."""
CHANGING = ("fetch", "stream", "step")
"""Keywords that no op call has, for who binds a kernel to give: ``fetch(raw)`` reads records,
``stream()`` returns the ``Stream`` of the firing, ``step()`` the number of the step."""


class Stream(NamedTuple):
    """What random numbers of one firing depend on: no plan draws others for the same sample."""

    seed: int
    step: int
    op: int
    """Names the op within the model."""
    first: int
    """Place of the first sample in the global batch."""


def pieces(size: int, *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Cut contiguous arrays of one size into flat views of at most ``size`` elements each.

    >>> [len(x) for x, in pieces(4, np.zeros((3, 3)))]
    [4, 4, 1]
    """
    flat = [array.reshape(-1) for array in arrays]
    for first in range(0, flat[0].size, size):
        yield tuple(array[first : first + size] for array in flat)


def inside(first: int, end: int, shift: int, stride: int, side: int) -> tuple[slice, slice]:
    """Return which outputs from ``first`` to ``end`` read within the map, and what they read.

    Output ``p`` reads input ``p stride + shift`` of ``side``.

    >>> inside(0, 4, -1, 1, 4)
    (slice(1, 4, None), slice(0, 3, 1))
    """
    start = max(first, -(shift // stride))
    stop = max(start, min(end, (side - 1 - shift) // stride + 1))
    at = start * stride + shift
    return slice(start, stop), slice(at, at + max(0, (stop - start - 1) * stride + 1), stride)


Places = tuple[slice, slice, slice]


def overlaps(
    maps: Array, out: Array, *, window: int, stride: int = 0, pad: int = 0, ceil: int = 0
) -> Iterator[tuple[Array, Array, Places, Places]]:
    """Yield, for each place of a window, the inputs there and the outputs whose window has them.

    Parameters
    ----------
    maps : float array, shape (C, H, W, n)
    out : float array, shape (C, P, Q, n)
    window, stride, pad : int
        Side of a window, step between windows (0: the side), width of the border.
    ceil : int
        Whether a last window may hang over the far edge; it shows in the shape of ``out``.

    Yields
    ------
    Views of ``maps`` and of ``out``, of one shape, and their indices.
    """
    del ceil
    step = stride or window
    every = slice(None)
    for i in range(window):
        p, h = inside(0, out.shape[1], i - pad, step, maps.shape[1])
        for j in range(window):
            q, v = inside(0, out.shape[2], j - pad, step, maps.shape[2])
            source, target = (every, h, v), (every, p, q)
            yield maps[source], out[target], source, target


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
    return kernel_in("runtime.kernels", "NumPy", name)


def kernel_in(folder: str, whose: str, name: str) -> Kernel:
    """Return the function ``FILE.FUNCTION`` of the package ``folder``.

    Raises
    ------
    BackendUnavailable
        When there is no such file or function; the message lists those there are.
    """
    file, _, function = name.partition(".")
    stem = lookup(f"{whose} kernel file", file, names(folder), error=BackendUnavailable)
    module = import_module(f"{folder}.{stem}")
    functions = {
        key: value
        for key, value in vars(module).items()
        if callable(value) and value.__module__ == module.__name__ and not key.startswith("_")
    }
    found = lookup(f"{stem} kernel", function, sorted(functions), error=BackendUnavailable)
    result: Kernel = functions[found]
    return result


@cache
def changing(name: str) -> tuple[str, ...]:
    """Return which keywords of ``CHANGING`` the kernel called ``name`` asks for.

    >>> changing("load.records"), changing("tanh.forward")
    (('fetch',), ())
    """
    return tuple(key for key in signature(kernel(name)).parameters if key in CHANGING)


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
            " model calls it; plan and estimate it, or run one of `foreplan models list`"
        )


def _runs(call: OpCall) -> bool:
    """Whether there is a kernel that takes these arguments."""
    settings: dict[str, Any] = dict((*call.attrs, *call.settings))
    try:
        settings |= dict.fromkeys(changing(call.kernel))
        signature(kernel(call.kernel)).bind(*call.tensors, **settings)
    except (BackendUnavailable, TypeError):
        return False
    return True


def sources_sha256() -> str:
    """Hash of the source of kernels and what they share: name, length, bytes of each file in order.

    No kernel is imported, so the hash names the files on disk. It is part of an op's identity in
    the op store: a changed kernel is another op.
    """
    digest = hashlib.sha256()
    folder = resources.files("runtime.kernels")
    for stem in ("__init__", *SHARED, *names("runtime.kernels")):
        source = (folder / f"{stem}.py").read_bytes()
        digest.update(f"{stem} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()

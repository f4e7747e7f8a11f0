"""Compilation of the array engine by Numba, and where the compiled code is kept.

The only module that knows Numba. The cache lies in the first of these folders that can be written:
``$NUMBA_CACHE_DIR``, ``$FOREPLAN_HOME/numba``, ``$XDG_CACHE_HOME/foreplan/numba``,
``~/.cache/foreplan/numba``; in none of them, the code is compiled anew by every process. Numba looks
at a function's own file only to see whether its cache is out of date, and functions here are
compiled into each other, so the folder's name holds a hash of all of their sources.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import types

F = TypeVar("F", bound=Callable[..., Any])

IDS = types.Array(types.int32, 1, "A", readonly=True)
COUNTS = types.Array(types.int64, 1, "A", readonly=True)
"""Columns of a graph as the engine takes them: any stride, so a constant one is one number."""


def compiled(function: F, signature: Any = None) -> F:
    """Return the function compiled to machine code: for these types now, or for any when called.

    Floats keep their order and are never contracted: fastmath stays off.
    """
    folder = cache_folder()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        return _jit(signature, cache=folder is not None)(function)
    finally:
        numba.config.CACHE_DIR = before


def inlined(function: F) -> F:
    """Return a function that compiled callers take into themselves."""
    return _jit(None, forceinline=True)(function)


def _jit(signature: Any, **options: Any) -> Callable[[F], F]:
    return numba.njit(signature, **options)  # type: ignore[no-any-return]


def type_of(value: object) -> Any:
    """Return the type by which compiled code knows a value."""
    return numba.typeof(value)


@cache
def cache_folder() -> Path | None:
    """Return the folder of this version's compiled code, made if need be."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    for root in cache_roots(os.environ):
        folder = root / digest[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def cache_roots(environ: Mapping[str, str]) -> list[Path]:
    """Return where compiled code may be kept, best place first."""
    if stated := environ.get("NUMBA_CACHE_DIR"):
        return [Path(stated)]
    roots = [Path(home) / "numba" for home in [environ.get("FOREPLAN_HOME")] if home]
    if xdg := environ.get("XDG_CACHE_HOME"):
        roots.append(Path(xdg) / "foreplan" / "numba")
    return [*(root.expanduser() for root in roots), Path("~/.cache/foreplan/numba").expanduser()]

"""Compilation by Numba, and where the compiled code is kept.

The cache lies in the first of these folders that can be written: ``$NUMBA_CACHE_DIR``,
``$FOREPLAN_HOME/numba``, ``$XDG_CACHE_HOME/foreplan/numba``, ``~/.cache/foreplan/numba``; in none
of them, every process compiles anew. Numba would look at the path and the age of a function's own
file to see whether its cache is out of date. Functions here are compiled into each other, and a
second checkout of the same sources need not compile them again: the name of the folder is a hash of
all of their sources, and says it alone.

Compiled functions count no references (``_nrt``), unless they make arrays: counting those of all
arrays of the state at every call took 25 us a task.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.core import caching, cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model

HERE = Path(__file__).parent


def _load_arrays() -> None:
    """Load Numba's array functions without its search for a BLAS.

    That search loads SciPy, a fifth of the start-up, and nothing here multiplies matrices.
    """
    blas = "scipy.linalg.cython_blas"
    if blas in sys.modules:
        return
    sys.modules[blas] = None  # type: ignore[assignment]
    try:
        import_module("numba.np.arraymath")
    finally:
        del sys.modules[blas]


_load_arrays()

F = TypeVar("F", bound=Callable[..., Any])

IDS = types.Array(types.int32, 1, "A", readonly=True)
TIMES = types.Array(types.int64, 1, "A", readonly=True)
"""Columns of a graph as the engine takes them: any stride, so a constant one is one number."""
OWN_IDS = types.Array(types.int32, 1, "C")
OWN_TIMES = types.Array(types.int64, 1, "C")
"""Arrays of the engine's own, which it may write."""

_INNER: dict[str, Any] = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_ANY_ORDER = {"reassoc", "nsz", "contract"}


def compiled(function: F) -> F:
    """Return the function as compiled callers can call it.

    Floats keep their order and are never contracted: fastmath stays off.
    """
    return cast("F", numba.njit(**_INNER)(function))


def inlined(function: F) -> F:
    """Return a function that compiled callers take into themselves."""
    return cast("F", numba.njit(forceinline=True, **_INNER)(function))


def with_parts(function: F, **parts: Any) -> F:
    """Return the same code, which calls these in place of the functions that it names."""
    return cast("F", FunctionType(function.__code__, {**function.__globals__, **parts}))


def cached(
    *signature: Any, nrt: bool = False, any_order: bool = False, of: tuple[Path, ...] = ()
) -> Callable[[F], F]:
    """Compile a function that plain Python calls: for these types, now or by an earlier process.

    With ``any_order`` sums may be taken in any order, so by vectors; ``of`` are files whose code is
    compiled into it, beside its own and those of ``sim``.
    """
    options: dict[str, Any] = {"_nrt": nrt, "fastmath": _ANY_ORDER if any_order else False}

    def decorate(function: F) -> F:
        if numba.config.DISABLE_JIT:
            return function
        dispatcher = numba.njit(**options)(function)
        if folder := cache_folder(Path(function.__code__.co_filename), *of):
            dispatcher._cache = _cache(function, folder)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return cast("F", dispatcher)

    return decorate


class _Place(caching._CacheLocator):
    """Where the code of a function is kept."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._folder, self._line = folder, function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """Return what the code is out of date without: the name of the folder has it."""
        return ""

    def get_disambiguator(self) -> str:
        """Return what tells apart functions of one name."""
        return str(self._line)


def _cache(function: Callable[..., Any], folder: Path) -> Any:
    """Return Numba's cache of a function, kept in ``folder``."""

    class Impl(caching.CompileResultCacheImpl):
        _locator_classes = (SimpleNamespace(from_function=lambda *_: _Place(function, folder)),)

    class Cache(caching.FunctionCache):
        _impl_class = Impl

    return Cache(function)


class _SharedType(types.Type):
    """Named fields at one address."""

    def __init__(self, names: tuple[str, ...], members: tuple[Any, ...]) -> None:
        self.members = dict(zip(names, members, strict=True))
        super().__init__(name=f"Shared({self.members})")


register_model(_SharedType)(models.OpaqueModel)


@infer_getattr
class _SharedFields(AttributeTemplate):
    """The type of a field."""

    key = _SharedType

    def generic_resolve(self, shared: Any, name: str) -> Any:
        """Return the type of a field, or None where there is none of this name."""
        return shared.members.get(name)


@lower_getattr_generic(_SharedType)
def _load_field(context: Any, builder: Any, shared: Any, address: Any, name: str) -> Any:
    """Read a field; an array without its length.

    An index below 0 would count from the end of an array. Where the length is 0 that comes to the
    same as not testing the index, which saves a third of the time (random graph of 1e6 tasks: 2.8
    and 3.4 M tasks/s). So compiled functions neither ask for the length of a field nor slice one.
    """
    layout = context.get_value_type(types.Tuple(tuple(shared.members.values())))
    place = builder.bitcast(address, layout.as_pointer())
    value = builder.load(cgutils.gep_inbounds(builder, place, 0, list(shared.members).index(name)))
    member = shared.members[name]
    if isinstance(member, types.Array):
        array = context.make_array(member)(context, builder, value=value)
        array.shape = cgutils.pack_array(builder, [context.get_constant(types.intp, 0)])
        value = array._getvalue()
    return value


def shared(names: tuple[str, ...]) -> Any:
    """Return what puts a tuple where compiled functions find its members by name.

    They hand on one address then. The tuple itself would be copied at every call.
    """

    @intrinsic
    def share(_: Any, fields: Any) -> Any:
        def place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = cgutils.alloca_once_value(builder, arguments[0])
            return builder.bitcast(at, cgutils.voidptr_t)

        return _SharedType(names, fields.types)(fields), place

    return share


def type_of(value: object) -> Any:
    """Return the type by which compiled code knows a value."""
    return numba.typeof(value)


@cache
def cache_folder(*more: Path) -> Path | None:
    """Return the folder of this version's compiled code, made if need be."""
    sources = [*sorted(HERE.glob("*.py")), *sorted(HERE.parent.glob("*.py")), *more]
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

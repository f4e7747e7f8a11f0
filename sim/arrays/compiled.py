"""Compilation by Numba; the code is kept (``sim.arrays.folder``).

Numba would look at the path and the age of a function's own file to see whether its cache is out of
date; here the folder says it alone. What the array engine calls is kept as machine code, which
needs no Numba once it is there (``sim.arrays.native``).

Compiled functions count no references (``_nrt``), unless they make arrays: counting those of all
arrays of the state at every call took 25 us a task.
"""

import hashlib
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.core import caching, cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import models, register_model

from sim.arrays.folder import cache_folder
from sim.arrays.native import Fields


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
from numba.np.arrayobj import populate_array  # noqa: E402, it loads them

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


class _Address(types.Type):
    """Where named fields lie: each takes two words, as ``sim.arrays.native.words`` writes them."""

    def __init__(self, fields: Fields) -> None:
        self.members = {
            name: types.int64
            if field is None
            else types.Array(numba.from_dtype(field.dtype), 1, "A" if field.any_stride else "C")
            for name, field in fields.items()
        }
        digest = hashlib.sha256(str(self.members).encode()).hexdigest()
        super().__init__(name=f"Address({digest[:16]})")  # part of the name of every function


register_model(_Address)(models.OpaqueModel)


@infer_getattr
class _Fields(AttributeTemplate):
    """The type of a field."""

    key = _Address

    def generic_resolve(self, address: Any, name: str) -> Any:
        """Return the type of a field, or None where there is none of this name."""
        return address.members.get(name)


@lower_getattr_generic(_Address)
def _load_field(context: Any, builder: Any, kind: Any, address: Any, name: str) -> Any:
    """Read a field; an array without its length.

    An index below 0 would count from the end of an array. Where the length is 0 that comes to the
    same as not testing the index, which saves a third of the time (random graph of 1e6 tasks: 2.8
    and 3.4 M tasks/s). So compiled functions neither ask for the length of a field nor slice one.
    """
    word = context.get_value_type(types.int64)
    words = builder.bitcast(address, word.as_pointer())
    at, member = 2 * list(kind.members).index(name), kind.members[name]
    value = builder.load(cgutils.gep_inbounds(builder, words, at))
    if not isinstance(member, types.Array):
        return value
    array = context.make_array(member)(context, builder)
    item_bytes = context.get_abi_sizeof(context.get_data_type(member.dtype))
    stride = word(item_bytes)
    if member.layout == "A":
        stride = builder.load(cgutils.gep_inbounds(builder, words, at + 1))
    pointer = builder.inttoptr(value, context.get_data_type(member.dtype).as_pointer())
    populate_array(array, pointer, (word(0),), (stride,), item_bytes, None)
    return array._getvalue()


def object_code(function: Any, fields: Fields) -> tuple[str, bytes]:
    """Return the name and the machine code of a ``compiled`` function of ``fields``."""
    function.compile(types.int64(_Address(fields)))
    (found,) = function.overloads.values()
    _, _, (code, _) = found.library.serialize_using_object_code()
    return found.fndesc.llvm_func_name, code


def type_of(value: object) -> Any:
    """Return the type by which compiled code knows a value."""
    return numba.typeof(value)

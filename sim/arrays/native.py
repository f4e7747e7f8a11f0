"""Compiled functions as plain Python calls them: machine code that needs LLVM alone.

Loading Numba takes longer than all else that the array engine needs, so what it once compiled is
kept as machine code and linked by LLVM (``llvmlite``). A function takes one address: that of two
words for each of its fields, a number or the place of an array and its stride.
"""

import ctypes
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from llvmlite import binding

from hwprofiles.units import Ints
from sim.arrays.folder import cache_folder

ANY_STRIDE = "any stride"
"""Annotation of a field whose array need not be contiguous, so a constant one is one number."""

_FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p
)
"""What Numba makes of a function: whether it raised, of its result, what it raises, its address."""


@dataclass(frozen=True, slots=True)
class Field:
    """An array among the fields."""

    dtype: np.dtype[Any]
    any_stride: bool

    def holds(self, value: object) -> bool:
        """Whether compiled code may take a value for this array."""
        assert isinstance(value, np.ndarray)
        return value.dtype == self.dtype and (self.any_stride or value.flags.c_contiguous)


Fields = Mapping[str, Field | None]
"""By name, in order; None for a number."""


@cache
def fields_of(kind: type) -> Fields:
    """Return the fields of a named tuple of whole numbers and arrays, as it is annotated."""
    found: dict[str, Field | None] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        any_stride = ANY_STRIDE in getattr(hint, "__metadata__", ())
        array = get_args(hint)[0] if any_stride else hint
        dtype = None if array is int else np.dtype(get_args(get_args(array)[1])[0])
        found[name] = None if dtype is None else Field(dtype, any_stride)
    return found


def words(fields: Fields, values: tuple[Any, ...]) -> Ints:
    """Return what compiled code finds the fields by."""
    found = np.zeros((len(fields), 2), dtype=np.int64)
    for place, (name, field), value in zip(found, fields.items(), values, strict=True):
        if field is None:
            place[0] = value
        else:
            assert field.holds(value), f"{name}: an array that compiled code does not expect"
            place[:] = value.ctypes.data, value.strides[0]
    return found


@dataclass(frozen=True)
class Entry:
    """A function of one argument ``s`` with the fields of a named tuple, which returns an int."""

    module: str
    name: str
    kind: type
    of: tuple[Path, ...] = ()
    """Files whose code is compiled into it, beside those of ``sim``."""

    def __call__(self, values: tuple[Any, ...]) -> int:
        """Run on these fields."""
        held = words(fields_of(self.kind), values)
        result, raised = ctypes.c_int64(), ctypes.c_void_p()
        status = _linked(self)(ctypes.byref(result), ctypes.byref(raised), held.ctypes.data)
        assert not status, f"{self.name} raised"
        return result.value

    def load(self) -> None:
        """Have the function ready, so that the first call takes no longer than others."""
        _linked(self)

    @property
    def is_kept(self) -> bool:
        """Whether an earlier process has kept it, so that the first call need not compile."""
        place = self._place()
        return place is not None and place.exists()

    def _place(self) -> Path | None:
        folder = cache_folder(*self.of)
        return folder / f"{self.name}.{_processor()}.o" if folder else None

    def compiled(self) -> tuple[str, bytes]:
        """Return the name and the machine code, kept by an earlier process or compiled now."""
        place = self._place()
        found = _kept(place) if place else None
        if found is None:
            from sim.arrays.compiled import object_code

            function = getattr(import_module(self.module), self.name)
            found = object_code(function, fields_of(self.kind))
            if place:
                _keep(place, *found)
        return found


@cache
def _linked(entry: Entry) -> Any:
    """Return the function, ready to be called."""
    name, code = entry.compiled()
    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return _FUNCTION(engine.get_function_address(name))


@cache
def _engine() -> Any:
    """Return what links all of them; it lives as long as the process."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


@cache
def _processor() -> str:
    """Name what machine code is good for."""
    features = binding.get_host_cpu_features().flatten()
    facts = (binding.get_default_triple(), binding.get_host_cpu_name(), features)
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]


def _keep(place: Path, name: str, code: bytes) -> None:
    """Keep machine code, whole or not at all."""
    told = f"{hashlib.sha256(code).hexdigest()} {name}\n".encode()
    draft = place.with_suffix(f".{os.getpid()}")
    draft.write_bytes(told + code)
    draft.replace(place)


def _kept(place: Path) -> tuple[str, bytes] | None:
    """Return what was kept, if it is whole."""
    try:
        told, _, code = place.read_bytes().partition(b"\n")
    except OSError:
        return None
    digest, _, name = told.decode(errors="replace").partition(" ")
    return (name, code) if digest == hashlib.sha256(code).hexdigest() else None

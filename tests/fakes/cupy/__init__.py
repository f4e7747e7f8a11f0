"""CuPy as the backend uses it: arrays whose bytes are the host's, touched only on streams."""

import re
from importlib import import_module

import numpy as np

from cupy import cuda
from cupy.cuda import _streams

__version__ = "0 (a fake)"


class ndarray(np.ndarray):  # noqa: N801 - CuPy's own name
    """Memory of the device: whoever writes it queues that, whoever reads it copies it first."""

    def __new__(cls, shape, dtype=np.float64, memptr=None):
        block = np.frombuffer(memptr.block, np.uint8)[
            : int(np.prod(shape)) * np.dtype(dtype).itemsize
        ]
        return block.view(dtype).reshape(shape).view(cls)

    def __array_ufunc__(self, *given, **more):
        raise TypeError("arithmetic outside of a kernel allocates")

    def __array_function__(self, *given, **more):
        raise TypeError("no function of NumPy takes an array of the device")

    @property
    def data(self):
        return cuda.Pointer(self.ctypes.data)

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and not isinstance(value, ndarray):
            raise TypeError(f"Unsupported type {type(value)}")
        target = plain(self)[key]
        source = plain(value) if isinstance(value, ndarray) else value
        _streams.current().put(lambda: copy(target, source))

    def fill(self, value):
        self[...] = value

    def astype(self, dtype):
        found = empty(self.shape, dtype)
        found[...] = self
        return found

    def set(self, source, stream=None):
        target = plain(self)
        assert source.shape == target.shape
        assert source.dtype == target.dtype
        assert target.flags.c_contiguous
        (stream or _streams.current()).put(lambda: copy(target, source))

    def get(self, stream=None, out=None, blocking=True):
        source, target = plain(self), np.empty_like(plain(self)) if out is None else out
        chosen = stream or _streams.current()
        chosen.put(lambda: copy(target, source))
        if blocking:
            chosen.synchronize()
        return target


def plain(array):
    """The same bytes for the device itself."""
    return array.view(np.ndarray)


def copy(target, source):
    np.copyto(target, source, casting="unsafe")
    return True


def empty(shape, dtype=np.float64):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return ndarray(shape if isinstance(shape, tuple) else (shape,), dtype, cuda.alloc(size))


def asarray(values, dtype=None):
    values = np.ascontiguousarray(values, dtype)
    found = empty(values.shape, values.dtype)
    found.set(values)
    _streams.current().synchronize()
    return found


def ascontiguousarray(array):
    found = empty(array.shape, array.dtype)
    found[...] = array
    return found


def asnumpy(array):
    return array.get()


def get_default_memory_pool():
    return cuda.POOL


class RawKernel:
    """A kernel by the name of its text, as the host's compiler has made it."""

    def __init__(self, code, name, options=(), backend="nvcc"):
        assert backend == "nvrtc"
        self.name, self.code = name, code

    def __call__(self, grid, block, args):
        assert all(isinstance(a, ndarray | np.generic) for a in args)
        if self.name == "hold":
            _streams.current().put(cuda.Hold(int(args[0])))
            return
        host = import_module("tests.runtime.cuda_host")
        text = next(text for text in host.texts() if text.name == self.name)
        dtype = next(d for d, (t, _) in host.TYPES.items() if f"typedef {t} T;" in self.code)
        if not re.search(r"\b[TA]\b", text.parameters + text.body):
            dtype = "float64"  # of no element type: one library is enough
        run = host.compiled(dtype)
        arguments = [plain(a) if isinstance(a, ndarray) else a.item() for a in args]
        _streams.current().put(lambda: run.launch(text, dtype, grid[0], *arguments) or True)

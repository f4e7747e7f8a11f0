"""Devices, memory, streams and events."""

import ctypes
import os
import threading
import time
import weakref

import numpy as np

from cupy.cuda import _streams

Event, Stream, current = _streams.Event, _streams.Stream, _streams.current

HOOKS = threading.local()
DEVICES = int(os.environ.get("CUPY_FAKE_DEVICES", "1"))
"""GPUs that there are said to be."""


def is_available():
    return True


def get_current_stream():
    return current()


def get_elapsed_time(first, last):
    first.synchronize()
    last.synchronize()
    return (last.at_s - first.at_s) * 1e3


class Pointer:
    def __init__(self, ptr):
        self.ptr = ptr


KEPT: list[np.ndarray] = []
"""What is free is used again in the order of a stream, so no work finds it gone."""


class Memory:
    def __init__(self, size):
        # no values: who reads before it writes is seen
        raw = np.full(size + 256, 0xFF, np.uint8)
        skip = -raw.ctypes.data % 256
        self.block = (ctypes.c_uint8 * size).from_buffer(raw, skip)
        KEPT.append(raw)


class MemoryHook:
    """Told of what this thread asks the pool for, once entered."""

    name = "MemoryHook"

    def __enter__(self):
        hooks = HOOKS.__dict__.setdefault("named", {})
        if self.name in hooks:
            raise KeyError(f"memory hook {self.name} already exists")
        hooks[self.name] = self
        return self

    def __exit__(self, *_):
        del HOOKS.named[self.name]

    def malloc_preprocess(self, **asked):
        pass


class Pool:
    def __init__(self):
        self.used = 0

    def alloc(self, size):
        for hook in HOOKS.__dict__.get("named", {}).values():
            hook.malloc_preprocess(device_id=0, size=size, mem_size=size)
        memory = Memory(size)
        self.used += size
        weakref.finalize(memory.block, self._free, size)
        return memory

    def _free(self, size):
        self.used -= size

    def used_bytes(self):
        return self.used

    def free_all_blocks(self):
        pass


POOL = Pool()


def alloc(size):
    return POOL.alloc(size)


def alloc_pinned_memory(size):
    return bytearray(size)


class Hold:
    """Work that only takes time."""

    def __init__(self, nanoseconds):
        self.nanoseconds, self.since_ns = nanoseconds, None

    def __call__(self):
        self.since_ns = self.since_ns or time.perf_counter_ns()
        return time.perf_counter_ns() - self.since_ns >= self.nanoseconds


class Device:
    """A GPU by its number; which one a thread uses."""

    def __init__(self, number=None):
        self.id = getattr(HOOKS, "device", 0) if number is None else number
        assert self.id < runtime.getDeviceCount()

    def use(self):
        HOOKS.device = self.id

    @property
    def pci_bus_id(self):
        return f"0000:{self.id:02x}:00.0"


class runtime:  # noqa: N801 - CuPy's own names
    @staticmethod
    def getDeviceCount():  # noqa: N802
        return DEVICES

    @staticmethod
    def getDeviceProperties(number):  # noqa: N802
        return {"name": b"Fake GPU", "totalGlobalMem": 1 << 34, "multiProcessorCount": 4}

    @staticmethod
    def driverGetVersion():  # noqa: N802
        return 13000

    runtimeGetVersion = driverGetVersion  # noqa: N815


class device:  # noqa: N801
    @staticmethod
    def get_cublas_handle():
        return _streams.LOCAL

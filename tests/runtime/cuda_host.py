"""An engine of the CUDA backend made of a host compiler and NumPy: the same kernels, run here.

Each text is compiled as C++ and run by as many threads a block as ``THREADS`` says, a barrier at
every ``__syncthreads()``; blocks run one after the other.
"""

import ctypes
import hashlib
import importlib
import os
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from hwprofiles.registry import names
from runtime.arena import dtype_of
from runtime.cuda import columns
from runtime.cuda.tape import Taped
from runtime.cuda.text import TYPES, Text, widened

THREADS = 4
HALVES = {"float16": "_Float16", "bfloat16": "Bfloat16"}
"""Types of a host that stand for those of CUDA."""
HEAD = """
#include <math.h>
#include <pthread.h>
#include <string.h>
struct Bfloat16 {
    unsigned short bits;
    Bfloat16() {}
    Bfloat16(float value) {
        unsigned wide;
        memcpy(&wide, &value, 4);
        bits = value == value ? (wide + 0x7FFF + (wide >> 16 & 1)) >> 16 : 0x7FC0;
    }
    operator float() const {
        const unsigned wide = (unsigned)bits << 16;
        float value;
        memcpy(&value, &wide, 4);
        return value;
    }
};
struct Place { unsigned x; };
static thread_local Place threadIdx, blockIdx;
static Place blockDim, gridDim;
static pthread_barrier_t meeting;
#define __global__
#define __device__
#define __shared__ static
static void __syncthreads() { if (blockDim.x > 1) pthread_barrier_wait(&meeting); }
template <class Run> struct Thread { unsigned place, blocks; Run* run; };
template <class Run> static void* of_thread(void* given) {
    auto& mine = *(Thread<Run>*)given;
    threadIdx.x = mine.place;
    for (unsigned b = 0; b < mine.blocks; b++) { blockIdx.x = b; (*mine.run)(); __syncthreads(); }
    return nullptr;
}
template <class Run> static void run_grid(unsigned blocks, unsigned threads, Run run) {
    blockDim.x = threads; gridDim.x = blocks;
    pthread_barrier_init(&meeting, nullptr, threads);
    pthread_t started[64];
    Thread<Run> all[64];
    for (unsigned t = 0; t < threads; t++) {
        all[t] = {t, blocks, &run};
        if (t) pthread_create(&started[t], nullptr, of_thread<Run>, &all[t]);
    }
    of_thread<Run>(&all[0]);
    for (unsigned t = 1; t < threads; t++) pthread_join(started[t], nullptr);
    pthread_barrier_destroy(&meeting);
}
"""


@cache
def texts() -> list[Text]:
    """Every kernel of the backend."""
    files = [f"runtime.cuda.kernels.{stem}" for stem in names("runtime.cuda.kernels")]
    modules = [columns, *map(importlib.import_module, files)]
    found = {id(v): v for m in modules for v in vars(m).values() if isinstance(v, Text)}
    return [
        each for text in found.values() for each in ([text, widened(text)] if text.pack else [text])
    ]


def program(texts: list[Text], dtype: str, *, narrow: bool) -> str:
    """One C++ file of all texts, each in a namespace of its own, with functions to run them."""
    element, wide = TYPES[dtype]
    element = HALVES.get(dtype, element)
    parts = [HEAD, f"typedef {element} T; typedef {wide} A;"]
    for text in texts:
        parameters, body = text.function(narrow=narrow)
        given = ", ".join(p.split()[-1] for p in parameters.split(","))
        parts.append(
            f"namespace {text.name}_space {{ {text.before}\n"
            f"void kernel({parameters}) {{ {body} }} }}\n"
            f'extern "C" void {text.name}(unsigned blocks, unsigned threads, {parameters})'
            f" {{ run_grid(blocks, threads, [&] {{ {text.name}_space::kernel({given}); }}); }}"
        )
    return "\n".join(parts)


def library(source: str, folder: Path) -> Path:
    """Compile a source once for all processes that are given one folder."""
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    found = folder / f"{name}.so"
    if not found.exists():
        text, fresh = (folder / f"{name}.{os.getpid()}.{end}" for end in ("cpp", "so"))
        text.write_text(source)
        command = ["g++", "-std=c++20", "-O0", "-shared", "-fPIC", "-pthread", "-w"]
        subprocess.run([*command, "-o", fresh, text], check=True)
        fresh.replace(found)
    return found


@cache
def compiled(dtype: str) -> "HostEngine":
    """The engine of a dtype, kept where temporary files of this process go."""
    return HostEngine(texts(), dtype, Path(os.environ.get("TMPDIR", tempfile.gettempdir())))


class HostEngine(Taped):
    """Arrays are NumPy's."""

    tf32, notes, plans = False, {}, {}

    def __init__(self, texts: list[Text], dtype: str, folder: Path, *, narrow: bool = True) -> None:
        super().__init__()
        self.folder = folder
        self._library = ctypes.CDLL(str(library(program(texts, dtype, narrow=narrow), folder)))
        self._wide = ctypes.c_double if TYPES[dtype][1] == "double" else ctypes.c_float
        self._rooms: dict[tuple[str, str], np.ndarray] = {}

    def launch(self, text, dtype, blocks, *arguments):
        del dtype
        threads = THREADS if "__syncthreads" in text.body else 1
        run = getattr(self._library, text.name)
        given = [*map(self._argument, arguments)]
        self.do(partial(run, ctypes.c_uint(blocks), ctypes.c_uint(threads), *given))

    def _argument(self, value):
        if isinstance(value, np.ndarray):
            return ctypes.c_void_p(value.ctypes.data)
        return self._wide(value) if isinstance(value, float) else ctypes.c_longlong(value)

    def matmul(self, a, b, out):
        assert out.flags.c_contiguous
        wide = np.float32 if out.dtype.itemsize == 2 else out.dtype

        def work():
            out[...] = np.matmul(a.astype(wide), b.astype(wide))

        self.do(work)

    def copy(self, source, target):
        self.do(partial(np.copyto, target, source, casting="unsafe"))

    def clear(self, target):
        self.do(partial(target.fill, 0))

    def address(self, array):
        return array.ctypes.data

    def scratch(self, name, elements, dtype):
        room = self._rooms.get((name, dtype))
        if room is None or room.size < elements:
            self.moves += 1
            room = self._rooms[name, dtype] = np.full(elements, np.nan, dtype_of(dtype))
        return room[:elements]

    def bring(self, source, target):
        target[...] = source

    def convolve(self, phase, x, w, y, how):
        return False

    def attend(self, phase, arrays, heads, causal):
        return False

"""The engine on a GPU: CuPy's arrays and launches, cuBLAS, and cuDNN where it is installed.

CuPy is imported when the first one is made. Everything runs on the current stream.
"""

import sys
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from hwprofiles.errors import BackendUnavailable
from runtime.cuda import gemm, graphs
from runtime.cuda.backend import missing
from runtime.cuda.tape import Taped
from runtime.cuda.text import NARROW, THREADS, Text

OPTIONS = ("--std=c++17",)
FUSED = ("float16", "bfloat16")
"""Dtypes of the library's fused attention."""
MAPS, WEIGHTS = (3, 0, 1, 2), (0, 1, 2, 3)
"""Axes in the library's order, (n, C, H, W) and (K, C, R, S)."""
WIDEST_BYTES = 4
"""Of an element that the library convolves: float64 came out wrong (cuDNN 9.19, Frontend 1.26)."""
PINNED_SLOTS = 2


class CupyEngine(Taped):
    """``runtime.cuda.engine.Engine`` of CuPy."""

    def __init__(self) -> None:
        if reason := missing():
            raise BackendUnavailable(f"CUDA backend: {reason}")
        import cupy

        super().__init__()
        self._cupy = cupy
        self.tf32 = False
        self._rooms: dict[tuple[str, str], Any] = {}
        self._pinned: dict[int, deque[tuple[Any, Any]]] = {}
        self._library = self._find_library()
        self._one = {t: np.array(1, t) for t in ("float32", "float64")}
        self._zero = {t: np.array(0, t) for t in ("float32", "float64")}

    def _find_library(self) -> graphs.Library | None:
        try:
            return graphs.Library(self._workspace, self._stream, self._timed)
        except (ImportError, OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            say(
                f"cuDNN is not to be had ({why}); convolutions gather columns, several times slower"
            )
            return None

    @property
    def notes(self) -> dict[str, str]:
        """What is done another way than meant, and why: empty where all is as it should be."""
        if self._library is None:
            return {"cudnn": "missing"}
        return dict(self._library.refused)

    @property
    def plans(self) -> dict[str, str]:
        """Name of the library's plan by call; two runs are alike only where these are."""
        return {k: p.name for k, p in self._library.plans.items()} if self._library else {}

    def launch(self, text: Text, dtype: str, blocks: int, *arguments: Any) -> None:
        """Run ``blocks`` blocks of a kernel on the current stream."""
        kind = np.float64 if dtype == "float64" else np.float32
        given = tuple(
            kind(a) if isinstance(a, float) else np.int64(a) if isinstance(a, int) else a
            for a in arguments
        )
        sizes = (a if isinstance(a, int) else getattr(a, "size", 1) for a in arguments)
        narrow = all(size < NARROW for size in sizes)
        self.do(partial(_compiled(text, dtype, narrow), (blocks,), (THREADS,), given))

    def matmul(self, a: Any, b: Any, out: Any) -> None:
        """``out = a b`` by cuBLAS; halves add in float32."""
        from cupy_backends.cuda.libs import cublas

        p, dtype = gemm.product(a, b, out), str(out.dtype)
        kind = gemm.TYPES[dtype]
        compute = gemm.COMPUTE_TF32 if self.tf32 and dtype == "float32" else gemm.COMPUTE[dtype]
        wide = "float64" if dtype == "float64" else "float32"
        one, zero = self._one[wide].ctypes.data, self._zero[wide].ctypes.data
        handle = self._cupy.cuda.device.get_cublas_handle()
        first, second, result = (
            (x.data.ptr, kind, leading) for x, leading in zip((b, a, out), p.leading, strict=True)
        )
        default_algorithm = -1
        shape = (handle, *p.operations, *p.sizes)
        if p.batch == 1:
            operands: tuple[Any, ...] = (one, *first, *second, zero, *result)
            work = partial(cublas.gemmEx, *shape, *operands, compute, default_algorithm)
        else:
            of_b, of_a, of_out = p.strides
            operands = (one, *first, of_b, *second, of_a, zero, *result, of_out, p.batch)
            work = partial(
                cublas.gemmStridedBatchedEx, *shape, *operands, compute, default_algorithm
            )
        self.do(work)

    def copy(self, source: Any, target: Any) -> None:
        """Copy, dtypes may differ."""
        self.do(partial(target.__setitem__, ..., source))

    def clear(self, target: Any) -> None:
        """Write zeros."""
        self.do(partial(target.fill, 0))

    def address(self, array: Any) -> int:
        """Return the pointer of an array."""
        return int(array.data.ptr)

    def scratch(self, name: str, elements: int, dtype: str) -> Any:
        """Return workspace, kept and made larger where needed."""
        room = self._rooms.get((name, dtype))
        if room is None or room.size < elements:
            # who still uses the old one has been queued before, on the stream that frees it
            self.moves += 1
            room = self._rooms[name, dtype] = self._cupy.empty(elements, self._dtype(dtype))
        return room[:elements]

    def _dtype(self, name: str) -> Any:
        if name != "bfloat16":
            return np.dtype(name)
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)

    def _stream(self) -> int:
        return int(self._cupy.cuda.get_current_stream().ptr)

    def _workspace(self, size_bytes: int) -> int:
        return int(self.scratch("library", max(size_bytes, 1), "uint8").data.ptr)

    def _timed(self, work: Callable[[], None]) -> float:
        """Return seconds on the device of the faster of two runs."""
        cuda, found = self._cupy.cuda, []
        stream = cuda.get_current_stream()
        for _ in range(2):
            begin, end = cuda.Event(), cuda.Event()
            begin.record(stream)
            work()
            end.record(stream)
            end.synchronize()
            found.append(cuda.get_elapsed_time(begin, end) / 1e3)
        return float(min(found))

    def bring(self, source: Any, target: Any) -> None:
        """Copy from the host through pinned memory, two copies under way at most."""
        stream = self._cupy.cuda.get_current_stream()
        staged, left = self._stage(source)
        place = target
        if not target.flags.c_contiguous:
            place = self.scratch("brought", source.size, str(source.dtype)).reshape(source.shape)
        place.set(staged, stream=stream)
        left.record(stream)
        if place is not target:
            target[...] = place

    def _stage(self, source: Any) -> tuple[Any, Any]:
        """Return a pinned copy, and the event to record once it has left its place.

        A place is written again only when the copy that left it last is done.
        """
        cuda = self._cupy.cuda
        slots = self._pinned.setdefault(source.nbytes, deque())
        if len(slots) < PINNED_SLOTS:
            slots.append((cuda.alloc_pinned_memory(source.nbytes), cuda.Event(disable_timing=True)))
        slots.rotate()
        memory, event = slots[0]
        event.synchronize()
        staged = np.frombuffer(memory, source.dtype, source.size).reshape(source.shape)
        np.copyto(staged, source)
        return staged, event

    def convolve(self, phase: str, x: Any, w: Any, y: Any, how: tuple[int, ...]) -> bool:
        """Run a convolution of cuDNN."""
        if self._library is None or x.dtype.itemsize > WIDEST_BYTES:
            return False
        shapes = (graphs.laid(x, MAPS), graphs.laid(w, WEIGHTS), graphs.laid(y, MAPS))
        pointers = {graphs.X: x.data.ptr, graphs.W: w.data.ptr, graphs.Y: y.data.ptr}
        arguments = (phase, *shapes, how, str(x.dtype))
        return self._ask("convolution", arguments, pointers, strict=not self.tf32)

    def attend(self, phase: str, arrays: tuple[Any, ...], heads: int, causal: bool) -> bool:
        """Run fused attention of cuDNN, for halves.

        Its backward pass wants the output and the statistics in float32, which no register keeps:
        the forward pass is run again first.
        """
        x, dtype = arrays[0], str(arrays[0].dtype)
        if self._library is None or dtype not in FUSED:
            return False
        samples, tokens, width = x.shape
        features = width // (3 * heads)
        how = (samples, tokens, heads, features, causal, dtype)
        kept = self.scratch("attend.stats", samples * heads * tokens, "float32")
        qkv = self._parts(x, (graphs.Q, graphs.K, graphs.V), heads * features)
        if phase == "forward":
            _, y, stats = arrays
            pointers = {**qkv, graphs.O: y.data.ptr, graphs.STATS: kept.data.ptr}
            if not self._attention("forward", how, pointers):
                return False
            self.copy(kept.reshape(stats.shape), stats)
            return True
        _, _, dy, dx = arrays
        out = self.scratch("attend.out", dy.size, dtype)
        both = {graphs.O: out.data.ptr, graphs.STATS: kept.data.ptr}
        if not self._attention("forward", how, {**qkv, **both}):
            return False
        gradients = self._parts(dx, (graphs.DQ, graphs.DK, graphs.DV), heads * features)
        pointers = {**qkv, **both, graphs.DO: dy.data.ptr, **gradients}
        return self._attention("input_grad", how, pointers)

    def _attention(self, phase: str, how: tuple[Any, ...], pointers: dict[int, int]) -> bool:
        return self._ask("attention", (phase, *how), pointers, strict=False)

    def _ask(
        self, kind: str, arguments: tuple[Any, ...], pointers: dict[int, int], *, strict: bool
    ) -> bool:
        """Let the library do it; whether it could."""
        assert self._library is not None
        work = self._library.work(kind, arguments, pointers, strict=strict)
        if work is not None:
            self.do(work)
        return work is not None

    def _parts(self, x: Any, numbers: tuple[int, ...], width: int) -> dict[int, int]:
        """Return where queries, keys and values begin, which lie side by side in a token."""
        step = width * x.dtype.itemsize
        return {number: x.data.ptr + i * step for i, number in enumerate(numbers)}


@cache
def _compiled(text: Text, dtype: str, narrow: bool) -> Any:
    """Return the compiled kernel; CuPy keeps it on disk from run to run."""
    import cupy

    source = text.source(dtype, narrow=narrow)
    return cupy.RawKernel(source, text.name, options=OPTIONS, backend="nvrtc")


def say(text: str) -> None:
    """Tell what is done another way than meant."""
    print(f"foreplan: {text}", file=sys.stderr, flush=True)  # noqa: T201

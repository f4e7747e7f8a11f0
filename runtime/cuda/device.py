"""A GPU as a device of a worker: one allocation, four streams, events instead of waiting.

Compute and the copies of its own input run on one stream, so what is queued there is in order. The
host completes a computation when it has queued it; a message, when the device has done it.
"""

import os
from typing import Any

import numpy as np

from planner.opcall import Tensor
from planner.program import Program
from runtime.cuda import layout
from runtime.cuda.backend import kernel, missing
from runtime.cuda.cupy_engine import TF32
from runtime.cuda.messages import Direct, Staged
from runtime.device import Messages
from runtime.kernels import Kernel
from runtime.waves import groups_of, waves
from sim.heap_engine import simulate

NCCL_TYPES = {"float16": 6, "float32": 7, "float64": 8, "bfloat16": 9}
"""``ncclDataType_t``."""


def prepare(dtype: str) -> None:
    """Say, before CuPy is imported, how products of float32 are computed: ``tf32`` may round."""
    os.environ[TF32] = str(int(dtype == "tf32"))


class Moment:
    """An event on the stream that computes."""

    def __init__(self, cuda: Any, stream: Any) -> None:
        self._cuda = cuda
        self.event = cuda.Event()
        self.event.record(stream)

    def seconds_since(self, earlier: "Moment") -> float:
        """Return the time on the device from another moment."""
        return float(self._cuda.get_elapsed_time(earlier.event, self.event)) / 1e3


class CudaDevice:
    """The GPU of this process; ``runtime.device.Device``."""

    name = "cuda"
    is_host = False

    def __init__(self, *, nccl: bool = True) -> None:
        """Take whether messages go by NCCL where it is there, or through the host."""
        from hwprofiles.errors import BackendUnavailable

        if reason := missing():
            raise BackendUnavailable(f"backend 'cuda': {reason}")
        import cupy

        self._cupy = cupy
        self._nccl = nccl
        stream = cupy.cuda.Stream
        self.compute = stream(non_blocking=True)
        self.copy_in, self.copy_out = stream(non_blocking=True), stream(non_blocking=True)
        _, highest = cupy.cuda.runtime.deviceGetStreamPriorityRange()
        self.communicate = stream(non_blocking=True, priority=highest)
        self.compute.use()

    def allocate(self, size_bytes: int) -> Any:
        """Return zeros, in one allocation."""
        memory = self._cupy.cuda.alloc(size_bytes)
        block = self._cupy.ndarray((size_bytes,), np.uint8, memptr=memory)
        block.fill(0)
        return block

    def order(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the axes in the order of memory: channels of maps innermost."""
        return layout.order(tensor)

    def kernel(self, name: str) -> Kernel:
        """Return a kernel of the CUDA backend."""
        return kernel(name)

    def put(self, target: Any, values: Any) -> None:
        """Copy from the host, and wait for it."""
        target[...] = self._cupy.asarray(values).astype(target.dtype)
        self.finish()

    def get(self, array: Any) -> Any:
        """Return a copy on the host."""
        self.finish()
        return self._cupy.asnumpy(array)

    def messages(self, rank: int, comm: Any, program: Program) -> Messages:
        """Return NCCL's messages where ranks have a GPU each, else those through the host."""
        from cupy.cuda import nccl

        ranks = program.ranks
        if ranks == 1 or comm is None:
            return Staged(self, rank, comm)
        by_nccl = self._nccl and nccl.available and self._cupy.cuda.runtime.getDeviceCount() > 1
        if not by_nccl or getattr(comm, "stands_for", None) is not None:
            return Staged(self, rank, comm)
        unique = comm.bcast(nccl.get_unique_id() if rank == 0 else None)
        group = nccl.NcclCommunicator(ranks, unique, rank)
        stream = self.communicate

        def begin() -> None:
            stream.wait_event(self._recorded(self.compute))
            nccl.groupStart()

        def send(array: Any, peer: int) -> None:
            kind = NCCL_TYPES[str(array.dtype)]
            group.send(array.data.ptr, array.size, kind, peer, stream.ptr)

        def receive(array: Any, peer: int) -> None:
            kind = NCCL_TYPES[str(array.dtype)]
            group.recv(array.data.ptr, array.size, kind, peer, stream.ptr)

        def end() -> Any:
            nccl.groupEnd()
            return self._recorded(stream)

        order = groups_of(program, rank, waves(program, simulate(program.graph)))
        return Direct(rank, order, begin, send, receive, end)

    def _recorded(self, stream: Any) -> Any:
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        return event

    def pinned(self, like: Any) -> Any:
        """Return pinned memory as large as an array, as an array of bytes."""
        memory = self._cupy.cuda.alloc_pinned_memory(like.nbytes)
        return np.frombuffer(memory, np.uint8, like.nbytes)

    def out(self, source: Any, target: Any) -> Any:
        """Copy to the host on a stream of its own, after what was queued for compute."""
        self.copy_out.wait_event(self.mark())
        source.reshape(-1).view(np.uint8).get(stream=self.copy_out, out=target, blocking=False)
        return self._recorded(self.copy_out)

    def into(self, source: Any, target: Any, after: Any) -> Any:
        """Copy to the device on a stream of its own, once ``after`` is done."""
        self.copy_in.wait_event(after)
        target.reshape(-1).view(np.uint8).set(source, stream=self.copy_in)
        return self._recorded(self.copy_in)

    def mark(self) -> Any:
        """Return an event behind all that was queued for compute."""
        return self._recorded(self.compute)

    def now(self) -> Moment:
        """Return the moment when all that was queued for compute is done."""
        return Moment(self._cupy.cuda, self.compute)

    def finish(self) -> None:
        """Wait for the stream that computes; who waited for a message has seen it done."""
        self.compute.synchronize()

    @property
    def held_bytes(self) -> int:
        """What CuPy holds on the device: the arena, workspaces, and what is left over."""
        return int(self._cupy.get_default_memory_pool().used_bytes())

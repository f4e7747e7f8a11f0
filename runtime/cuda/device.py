"""A GPU as a device of a worker: one allocation, four streams, events instead of waiting.

Compute and the copies of its own input run on one stream, so what is queued there is in order. The
host completes a computation when it has queued it; a message, when the device has done it.
"""

import socket
from itertools import count
from typing import Any

import numpy as np

from planner.opcall import OpCall, Tensor
from planner.program import Program
from runtime.cuda import layout
from runtime.cuda.backend import changing, kernel, missing
from runtime.cuda.cupy_engine import say
from runtime.cuda.engine import engine
from runtime.cuda.messages import Direct, Staged, Stubs
from runtime.cuda.tape import Kept
from runtime.cuda.text import Text
from runtime.device import Messages
from runtime.kernels import Kernel
from runtime.replay import Replayed
from runtime.waves import waves
from sim.heap_engine import simulate

NCCL_TYPES = {"float16": 6, "float32": 7, "float64": 8, "bfloat16": 9}
"""``ncclDataType_t``."""


NUMBERS = count()
"""Of hooks, whose names must differ."""
FIRST = -1
"""Priority of a stream that goes before those of 0."""
HOLD = Text(
    name="hold",
    parameters="long long nanoseconds",
    body="""
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    while (now - start < nanoseconds);
    """,
)
"""Of a GPU alone: its body is no C++ that a host has."""


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

    def __init__(self, *, place: int = 0, nccl: bool = True) -> None:
        """Take the place among the processes of this host, which says the GPU.

        ``nccl`` says whether messages go by NCCL where it is there, or through the host.
        """
        from hwprofiles.errors import BackendUnavailable

        if reason := missing():
            raise BackendUnavailable(f"backend 'cuda': {reason}")
        import cupy

        self._cupy = cupy
        self._nccl = nccl
        cupy.cuda.Device(place % cupy.cuda.runtime.getDeviceCount()).use()
        stream = cupy.cuda.Stream
        self.compute = stream(non_blocking=True)
        self.copy_in, self.copy_out = stream(non_blocking=True), stream(non_blocking=True)
        self.communicate = stream(non_blocking=True, priority=FIRST)
        self.compute.use()
        self._staged = ""
        self._taken = _counter(cupy)

    def allocate(self, size_bytes: int) -> Any:
        """Return zeros, in one allocation."""
        memory = self._cupy.cuda.alloc(size_bytes)
        block = self._cupy.ndarray((size_bytes,), np.uint8, memptr=memory)
        block.fill(0)
        return block

    def order(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the axes in the order of memory: channels of maps innermost."""
        return layout.order(tensor)

    def kernel(self, call: OpCall) -> Kernel:
        """Return a kernel of the CUDA backend, of its own for one set of arrays."""
        run = kernel(call.kernel)
        return run if changing(call.kernel) else Kept(run)

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
        if isinstance(comm, Replayed):
            return Stubs(self, rank, comm.lasts_ns)
        if program.ranks == 1:
            return Staged(self, rank, comm)
        self._staged = self._why_staged(comm)
        if self._staged:
            say(f"rank {rank}: messages go through the host, for {self._staged}")
            return Staged(self, rank, comm)
        return self._direct(rank, comm, program)

    def _why_staged(self, comm: Any) -> str:
        """Say why NCCL cannot be used by all ranks; nothing where it can."""
        from cupy.cuda import nccl

        place = (socket.gethostname(), self._cupy.cuda.Device().pci_bus_id)
        has_nccl = self._nccl and nccl.available
        found = comm.allgather((place, has_nccl))
        if not all(has for _, has in found):
            return "NCCL is not there, or not wanted"
        shared = len({place for place, _ in found}) < len(found)
        return "ranks share a GPU" if shared else ""

    def _direct(self, rank: int, comm: Any, program: Program) -> Direct:
        """Join a communicator of all ranks; return messages that go by it."""
        from cupy.cuda import nccl

        unique = comm.bcast(nccl.get_unique_id() if rank == 0 else None)
        group = nccl.NcclCommunicator(program.ranks, unique, rank)
        stream = self.communicate

        def begin() -> None:
            stream.wait_event(self.mark())
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

        order = waves(program, simulate(program.graph))
        return Direct(rank, order, program, begin, send, receive, end)

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

    def move(self, source: Any, target: Any) -> Any:
        """Copy on the device, on the stream of messages, after what was queued for compute."""
        self.communicate.wait_event(self.mark())
        with self.communicate:
            target[...] = source
        return self._recorded(self.communicate)

    def like(self, array: Any) -> Any:
        """Return memory of the device as large as an array."""
        return self.allocate(array.nbytes).view(array.dtype).reshape(array.shape)

    def mark(self) -> Any:
        """Return an event behind all that was queued for compute."""
        return self._recorded(self.compute)

    def now(self) -> Moment:
        """Return the moment when all that was queued for compute is done."""
        return Moment(self._cupy.cuda, self.compute)

    def hold(self, seconds: float) -> None:
        """Let the stream that computes do nothing for a while."""
        engine().launch(HOLD, "float32", 1, int(seconds * 1e9))

    def finish(self) -> None:
        """Wait for the stream that computes; who waited for a message has seen it done."""
        self.compute.synchronize()

    @property
    def held_bytes(self) -> int:
        """What CuPy holds on the device: the arena, workspaces, and what is left over."""
        return int(self._cupy.get_default_memory_pool().used_bytes())

    @property
    def taken(self) -> int:
        """How often memory was asked for by the thread that computes."""
        return int(self._taken.count)

    @property
    def notes(self) -> dict[str, str]:
        """What is done another way than meant: by the library's kernels, and by messages."""
        own = {"messages": f"through the host, for {self._staged}"} if self._staged else {}
        return {**engine().notes, **own}

    def release(self) -> None:
        """Give what CuPy's pool keeps back to the device."""
        self.finish()
        self._cupy.get_default_memory_pool().free_all_blocks()

    def compute_as(self, dtype: str) -> None:
        """Let products of float32 round to ten bits of mantissa, or not."""
        engine().tf32 = dtype == "tf32"

    def slot(self, shape: tuple[int, ...]) -> "CudaSlot":
        """Return room for records, pinned on the host."""
        return CudaSlot(self, shape)


def _counter(cupy: Any) -> Any:
    """Return what counts from now on how often this thread asks CuPy's pool for memory."""

    class Counter(cupy.cuda.MemoryHook):  # type: ignore[misc]
        def __init__(self) -> None:
            self.name = f"foreplan.{next(NUMBERS)}"
            self.count = 0

        def malloc_preprocess(self, **asked: Any) -> None:
            del asked
            self.count += 1

    hook = Counter()
    hook.__enter__()  # for as long as the process lives
    return hook


class CudaSlot:
    """Room for records: pinned memory, and as much on the device; copied on a stream of its own."""

    def __init__(self, device: CudaDevice, shape: tuple[int, ...]) -> None:
        self._device = device
        size_bytes = int(np.prod(shape))
        memory = device._cupy.cuda.alloc_pinned_memory(size_bytes)
        self.host = np.frombuffer(memory, np.uint8, size_bytes).reshape(shape)
        self._there = device.allocate(size_bytes).reshape(shape)
        self._taken = device.mark()
        self._sent = device.mark()

    def send(self) -> None:
        """Copy once the firing before has taken what was there; wait until it has left the host."""
        device = self._device
        device.copy_in.wait_event(self._taken)
        with device.copy_in:
            self._there.set(self.host, stream=device.copy_in)
        self._sent = device._recorded(device.copy_in)
        self._sent.synchronize()

    def take(self, raw: Any) -> None:
        """Copy on the device, on the stream that computes."""
        self._device.compute.wait_event(self._sent)
        raw[...] = self._there
        self._taken = self._device.mark()

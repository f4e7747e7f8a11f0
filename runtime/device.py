"""What a worker computes on: where its arena lies, how arrays lie in it, and when work is done.

The host is one: NumPy's arrays, work done when a call returns. ``runtime.cuda.device`` is another,
whose calls return before the work is done.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from planner.opcall import OpCall, Tensor
from planner.program import Program, TransferTask
from runtime.actors import Request
from runtime.halves import needs_width, widened
from runtime.kernels import Kernel, kernel
from runtime.prefetch import Slot


class Clock(Protocol):
    """A moment on the device."""

    def seconds_since(self, earlier: Any) -> float:
        """Return the time from another moment; both must have come (``Device.finish``)."""
        ...


class Messages(Protocol):
    """How one rank's transfers become requests; every transfer of the rank is asked for once."""

    def request(self, task: int, info: TransferTask, array: Any) -> Request:
        """Return the message of a task, from or to ``array`` of the arena."""
        ...

    def alone(self, program: Program) -> Sequence[tuple[int, ...]]:
        """Return the fewest messages that can be sent without any other, all of them in turn.

        The same on all ranks.
        """
        ...


def one_by_one(program: Program) -> tuple[tuple[int, ...], ...]:
    """Return every message of a program by itself."""
    tasks = enumerate(program.tasks)
    return tuple((task,) for task, info in tasks if isinstance(info, TransferTask))


class Device(Protocol):
    """Where one rank computes."""

    name: str
    is_host: bool

    def allocate(self, size_bytes: int) -> Any:
        """Return so many bytes, zeros, as a flat uint8 array."""
        ...

    def order(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the axes of a tensor in the order of memory, the slowest first."""
        ...

    def kernel(self, call: OpCall) -> Kernel:
        """Return the function that runs an op call."""
        ...

    def put(self, target: Any, values: Any) -> None:
        """Copy an array of the host to one of the device, of one shape."""
        ...

    def get(self, array: Any) -> Any:
        """Return a copy on the host, of all that was queued before."""
        ...

    def messages(self, rank: int, comm: Any, program: Program) -> Messages:
        """Return how the messages of ``rank`` are sent and received."""
        ...

    def now(self) -> Clock:
        """Return the moment when all that was queued so far is done."""
        ...

    def hold(self, seconds: float) -> None:
        """Let the device do nothing for a while, so that the host can queue work meanwhile."""
        ...

    def finish(self) -> None:
        """Wait until all that was queued is done."""
        ...

    def slot(self, shape: tuple[int, ...]) -> Slot:
        """Return room for records on their way, as bytes."""
        ...

    def compute_as(self, dtype: str) -> None:
        """Compute products of float32 as a training's dtype says: ``tf32`` may round."""
        ...

    @property
    def held_bytes(self) -> int:
        """What is held on the device: the arena, workspaces and what is left over."""
        ...

    @property
    def taken(self) -> int:
        """How often memory of the device was asked for so far; steps must not."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """What is done another way than meant, and why."""
        ...

    def release(self) -> None:
        """Give memory that nothing holds back to the device, for others."""
        ...


class HostMoment:
    """A moment of the host's clock."""

    def __init__(self) -> None:
        self._ns = time.perf_counter_ns()

    def seconds_since(self, earlier: "HostMoment") -> float:
        """Return the time from another moment."""
        return (self._ns - earlier._ns) / 1e9


class HostMessages:
    """MPI's own messages, from and to the arena itself."""

    def __init__(self, rank: int, comm: Any) -> None:
        self._rank = rank
        self._comm = comm

    def request(self, task: int, info: TransferTask, array: Any) -> Request:
        """Return a persistent message whose tag is the task."""
        if info.src == self._rank:
            send: Request = self._comm.Ssend_init(array, info.dst, tag=task)
            return send
        receive: Request = self._comm.Recv_init(array, info.src, tag=task)
        return receive

    def alone(self, program: Program) -> tuple[tuple[int, ...], ...]:
        """Return each message by itself."""
        return one_by_one(program)


class HostDevice:
    """One core and its memory, NumPy's kernels."""

    name = "host"
    is_host = True

    def __init__(self, kernels: Callable[[str], Kernel] = kernel) -> None:
        """Take whose kernels run."""
        self._kernels = kernels

    def allocate(self, size_bytes: int) -> Any:
        """Return zeros."""
        return np.zeros(size_bytes, np.uint8)

    def order(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the axes as they are: C-contiguous."""
        return tuple(range(len(tensor.shape)))

    def kernel(self, call: OpCall) -> Kernel:
        """Return a kernel, on copies in float32 where it knows no halves."""
        run = self._kernels(call.kernel)
        return widened(run, len(call.reads)) if needs_width(call) else run

    def put(self, target: Any, values: Any) -> None:
        """Copy."""
        np.copyto(target, values)

    def get(self, array: Any) -> Any:
        """Return a copy."""
        return np.array(array)

    def messages(self, rank: int, comm: Any, program: Program) -> HostMessages:
        """Return MPI's."""
        del program
        return HostMessages(rank, comm)

    def now(self) -> HostMoment:
        """Return this moment."""
        return HostMoment()

    def hold(self, seconds: float) -> None:
        """Return at once: nothing is queued."""

    def finish(self) -> None:
        """Return at once: nothing is queued."""

    def slot(self, shape: tuple[int, ...]) -> "HostSlot":
        """Return room for records."""
        return HostSlot(shape)

    def compute_as(self, dtype: str) -> None:
        """Do nothing: a host does not round."""

    @property
    def held_bytes(self) -> int:
        """Nothing is counted."""
        return 0

    @property
    def taken(self) -> int:
        """Nothing is counted; ``runtime.proof`` asks Python."""
        return 0

    @property
    def notes(self) -> Mapping[str, str]:
        """Nothing: what a host lacks is refused."""
        return {}

    def release(self) -> None:
        """Do nothing: it goes back by itself."""


class HostSlot:
    """Room for records on their way to the host itself."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.host = np.empty(shape, np.uint8)

    def send(self) -> None:
        """Return at once: they are there."""

    def take(self, raw: Any) -> None:
        """Copy."""
        np.copyto(raw, self.host)


HOST = HostDevice()

"""Messages between GPUs: NCCL's, group by group in the order of waves, or through the host by MPI.

Both wait, before they touch a register, for what the device has been given so far: the host runs
ahead, so a slot that is free in its books may still be read on the device.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from planner.program import Program, TransferTask
from runtime.actors import Request
from runtime.device import one_by_one
from runtime.waves import Wave, groups_of


class Event(Protocol):
    """Whether something queued is done."""

    @property
    def done(self) -> bool:
        """Whether it is."""
        ...


class Copies(Protocol):
    """Copies between an array of the device and pinned memory of the host, queued."""

    def pinned(self, like: Any) -> Any:
        """Return memory of the host as large as an array, as an array."""
        ...

    def out(self, source: Any, target: Any) -> Event:
        """Copy to the host, after all that the device was given so far."""
        ...

    def into(self, source: Any, target: Any, after: Event) -> Event:
        """Copy to the device, once ``after`` is done there."""
        ...

    def move(self, source: Any, target: Any) -> Event:
        """Copy on the device, after all that it was given so far."""
        ...

    def like(self, array: Any) -> Any:
        """Return memory of the device as large as an array."""
        ...

    def mark(self) -> Event:
        """Return an event that is done when all that the device was given so far is."""
        ...


class StagedSend:
    """Copy out, then send; done when the peer has it."""

    def __init__(self, copies: Copies, array: Any, message: Callable[[Any], Request]) -> None:
        """Take what makes the message of a buffer of the host."""
        self._copies = copies
        self._array = array
        self._buffer = copies.pinned(array)
        self._message = message(self._buffer)
        self._copied: Event | None = None

    def Start(self) -> None:  # noqa: N802 - MPI's own name
        """Begin to copy."""
        self._copied = self._copies.out(self._array, self._buffer)

    def Test(self) -> bool:  # noqa: N802 - MPI's own name
        """Whether it has been received; sends once the copy is there."""
        if self._copied is not None:
            if not self._copied.done:
                return False
            self._copied = None
            self._message.Start()
        return self._message.Test()


class StagedReceive:
    """Receive, then copy in; done when the device has it."""

    def __init__(self, copies: Copies, array: Any, message: Callable[[Any], Request]) -> None:
        """Take what makes the message of a buffer of the host."""
        self._copies = copies
        self._array = array
        self._buffer = copies.pinned(array)
        self._message = message(self._buffer)
        self._free: Event | None = None
        self._copied: Event | None = None

    def Start(self) -> None:  # noqa: N802 - MPI's own name
        """Post the receive."""
        self._free = self._copies.mark()
        self._copied = None
        self._message.Start()

    def Test(self) -> bool:  # noqa: N802 - MPI's own name
        """Whether the device has it; copies once the message is there."""
        if self._copied is None:
            if not self._message.Test():
                return False
            assert self._free is not None
            self._copied = self._copies.into(self._buffer, self._array, self._free)
        return self._copied.done


class Issuer:
    """Issue groups of messages in the order that was agreed on, whatever order they get ready in.

    ``issue(tasks)`` queues one group and returns the event of its end.
    """

    def __init__(
        self, groups: Sequence[tuple[int, ...]], issue: Callable[[tuple[int, ...]], Event]
    ) -> None:
        self._groups = tuple(groups)
        self._issue = issue
        self._group_of = {task: g for g, tasks in enumerate(self._groups) for task in tasks}
        self._next = 0
        self._waiting: list[set[int]] = []
        self._events: dict[int, Event] = {}
        self._begin()

    def _begin(self) -> None:
        self._next = 0
        self._waiting = [set(tasks) for tasks in self._groups]

    def start(self, task: int) -> None:
        """Note that a message may go; issue all groups whose turn it is and that are complete."""
        if self._next == len(self._groups):
            self._begin()
        group = self._group_of[task]
        self._events.pop(group, None)
        self._waiting[group].discard(task)
        while self._next < len(self._groups) and not self._waiting[self._next]:
            self._events[self._next] = self._issue(self._groups[self._next])
            self._next += 1

    def is_done(self, task: int) -> bool:
        """Whether the group of a started message has been issued and is done."""
        event = self._events.get(self._group_of[task])
        return event is not None and event.done


class Grouped:
    """One message of a group."""

    def __init__(self, issuer: Issuer, task: int) -> None:
        self._issuer = issuer
        self._task = task

    def Start(self) -> None:  # noqa: N802 - MPI's own name
        """Let it go."""
        self._issuer.start(self._task)

    def Test(self) -> bool:  # noqa: N802 - MPI's own name
        """Whether it is done."""
        return self._issuer.is_done(self._task)


class Staged:
    """All messages of a rank through the host."""

    def __init__(self, copies: Copies, rank: int, comm: Any) -> None:
        self._copies = copies
        self._rank = rank
        self._comm = comm

    def request(self, task: int, info: TransferTask, array: Any) -> Request:
        """Return the message of a task."""
        if info.src == self._rank:
            return StagedSend(
                self._copies, array, lambda b: self._comm.Ssend_init(b, info.dst, tag=task)
            )
        return StagedReceive(
            self._copies, array, lambda b: self._comm.Recv_init(b, info.src, tag=task)
        )

    def alone(self, program: Program) -> tuple[tuple[int, ...], ...]:
        """Return each message by itself."""
        return one_by_one(program)


class Stub:
    """A message to or from a peer that is not there: a copy on the device, as long as predicted.

    Its time begins when the device comes to it, which is later than the host does.
    """

    def __init__(self, copies: Copies, source: Any, target: Any, lasts_ns: int) -> None:
        self._copies = copies
        self._source = source
        self._target = target
        self._lasts_ns = lasts_ns
        self._begun: Event | None = None
        self._copied: Event | None = None
        self._since_ns = 0

    def Start(self) -> None:  # noqa: N802 - MPI's own name
        """Queue the copy."""
        self._begun = self._copies.mark()
        self._copied = self._copies.move(self._source, self._target)

    def Test(self) -> bool:  # noqa: N802 - MPI's own name
        """Whether the copy is done, and the message would be."""
        assert self._copied is not None
        if self._begun is not None:
            if not self._begun.done:
                return False
            self._begun, self._since_ns = None, time.perf_counter_ns()
        return self._copied.done and time.perf_counter_ns() - self._since_ns >= self._lasts_ns


class Stubs:
    """All messages of a rank that is replayed: out of and into one place for each size, zeros."""

    def __init__(self, copies: Copies, rank: int, lasts_ns: Mapping[int, int]) -> None:
        self._copies = copies
        self._rank = rank
        self._lasts_ns = lasts_ns
        self._sinks: dict[int, Any] = {}

    def request(self, task: int, info: TransferTask, array: Any) -> Request:
        """Return the message of a task."""
        other = self._sinks.get(array.nbytes)
        if other is None:
            other = self._sinks[array.nbytes] = self._copies.like(array)
        pair = (array, other) if info.src == self._rank else (other, array)
        return Stub(self._copies, *pair, self._lasts_ns[task])

    def alone(self, program: Program) -> tuple[tuple[int, ...], ...]:
        """Return each message by itself."""
        return one_by_one(program)


class Direct:
    """All messages of a rank by NCCL, in waves; ``send`` and ``receive`` take (array, peer)."""

    def __init__(
        self,
        rank: int,
        order: Sequence[Wave],
        program: Program,
        begin: Callable[[], object],
        send: Callable[[Any, int], object],
        receive: Callable[[Any, int], object],
        end: Callable[[], Event],
    ) -> None:
        self._rank = rank
        self._parts: dict[int, tuple[TransferTask, Any]] = {}
        self._begin, self._send, self._receive, self._end = begin, send, receive, end
        self._waves = tuple(order)
        self._issuer = Issuer(groups_of(program, rank, self._waves), self._issue)

    def request(self, task: int, info: TransferTask, array: Any) -> Request:
        """Return the message of a task."""
        self._parts[task] = (info, array)
        return Grouped(self._issuer, task)

    def alone(self, program: Program) -> tuple[tuple[int, ...], ...]:
        """Return wave by wave: a group is issued whole, and in its turn."""
        del program
        return tuple(wave.tasks for wave in self._waves)

    def _issue(self, tasks: tuple[int, ...]) -> Event:
        self._begin()
        for task in tasks:
            info, array = self._parts[task]
            if info.src == self._rank:
                self._send(array, info.dst)
            else:
                self._receive(array, info.src)
        return self._end()

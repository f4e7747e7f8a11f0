"""The actor loop: what one worker does with its part of a program.

A task may start when its inputs have arrived and every register it writes has a free slot; of
those that may, the one with the least (priority, instant, id) goes first: the rule of the
simulator, in real time. A transfer is started as soon as both hold on this side, and completes
when MPI says so: all transfers use rendezvous (synchronous send), so "sent" means "received", and
the posted receive is the credit that a free landing slot returns to its sender. No rank waits for
a particular message, so no order of arrival can block another.
"""

import os
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Protocol

from hwprofiles.errors import DeadlockError

POLLS_BEFORE_YIELD = 200
"""Fruitless polls before the core is offered to somebody else: about 50 us of waiting."""
POLLS_BEFORE_SLEEP = 20_000
"""Fruitless polls before a rank sleeps between two of them: about 10 ms of waiting."""
SLEEP_S = 1e-4
"""At most a hundredth of the wait that it ends, so a step is not longer for it."""


class Request(Protocol):
    """A persistent message, started again in every step."""

    def Start(self) -> None:  # noqa: N802 - MPI's own name
        """Begin."""
        ...

    def Test(self) -> bool:  # noqa: N802 - MPI's own name
        """Whether it has completed."""
        ...


class Arrival(Protocol):
    """What a process beside this one will have ready, in every step."""

    def is_there(self) -> bool:
        """Whether it has come; asked until it has."""
        ...

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until it may be there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One task as its worker sees it; task ids are local positions."""

    priority: int
    fire: Callable[[], object] | None
    """Run a kernel; None for a transfer."""
    request: Request | None = None
    """The message of a transfer; None for a kernel."""
    arrival: Arrival | None = None
    """What an input pipeline gets ready; None for all others."""
    after: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    """Registers of which a slot is taken."""
    frees: tuple[int, ...] = ()
    """Items (positions in the list of all written slots) that this task has read."""


class ActorLoop:
    """Run the firings of one worker, one step at a time."""

    def __init__(
        self,
        firings: Sequence[Firing],
        slots: Sequence[int],
        item_register: Sequence[int],
        item_readers: Sequence[int],
        own_items: Sequence[tuple[int, ...]],
    ) -> None:
        self._firings = tuple(firings)
        self._slots = list(slots)
        self._item_register = list(item_register)
        self._item_readers = list(item_readers)
        self._unread = [
            tuple(item for item in items if item_readers[item] == 0) for items in own_items
        ]
        self._needs = [len(f.after) for f in firings]
        self._dependents: list[list[int]] = [[] for _ in firings]
        for task, firing in enumerate(firings):
            for before in firing.after:
                self._dependents[before].append(task)
        self.polls_before_sleep = POLLS_BEFORE_SLEEP
        self.start_ns = [0] * len(firings)
        self.end_ns = [0] * len(firings)
        self.stall_ns = 0
        """Waited so far for what an input pipeline gets ready, with nothing else to do."""
        self.waited_ns = 0
        """Waited so far for messages, with nothing else to do."""

    def with_fires(
        self, wrap: Callable[[int, Callable[[], object]], Callable[[], object]]
    ) -> "ActorLoop":
        """Return a loop of the same firings, kernel ``i`` run as ``wrap(i, fire)``."""
        other = copy(self)
        other._firings = tuple(
            replace(f, fire=wrap(i, f.fire)) if f.fire else f for i, f in enumerate(self._firings)
        )
        return other

    def run(self, *, traced: bool = False, freed: Callable[[int], None] | None = None) -> None:
        """Run one step; with ``traced``, note start and end of every task.

        ``freed`` is told each item whose slot has come back, before anything else starts.
        """
        step = _Step(self, traced) if freed is None else _ToldStep(self, traced, freed)
        step.run()


class _Step:
    """The state of one step: what is missing, what is free, what is under way."""

    def __init__(self, loop: ActorLoop, traced: bool) -> None:
        self.loop = loop
        self.traced = traced
        self.needs = loop._needs.copy()
        self.free = loop._slots.copy()
        self.readers = loop._item_readers.copy()
        self.ready: list[tuple[int, int, int]] = []
        self.starved: list[int] = []
        self.pending: list[tuple[Request, int]] = []
        self.expected: list[tuple[Arrival, int]] = []
        self.clock = 0
        self.left = len(self.needs)
        for task, needed in enumerate(self.needs):
            if not needed:
                self.offer(task)

    def offer(self, task: int) -> None:
        """Queue a task whose inputs are complete, if the registers it writes have room."""
        firing = self.loop._firings[task]
        free = self.free
        for register in firing.writes:
            if free[register] < 1:
                self.starved.append(task)
                return
        self.clock += 1
        heappush(self.ready, (firing.priority, self.clock, task))

    def complete(self, task: int) -> None:
        """Give back slots and offer what waited for this task."""
        loop, firing = self.loop, self.loop._firings[task]
        if self.traced:
            loop.end_ns[task] = time.perf_counter_ns()
        self.left -= 1
        returned = False
        for item in loop._unread[task]:
            self.free[loop._item_register[item]] += 1
            returned = True
        for item in firing.frees:
            self.readers[item] -= 1
            if not self.readers[item]:
                self.free[loop._item_register[item]] += 1
                returned = True
        for dependent in loop._dependents[task]:
            self.needs[dependent] -= 1
            if not self.needs[dependent]:
                self.offer(dependent)
        if returned and self.starved:
            waiting, self.starved = self.starved, []
            for other in waiting:
                self.offer(other)

    def start(self, task: int) -> None:
        """Start the next task: run a kernel to its end, or set a message under way."""
        firing = self.loop._firings[task]
        for register in firing.writes:
            if self.free[register] < 1:  # another task of this register went first
                self.starved.append(task)
                return
        for register in firing.writes:
            self.free[register] -= 1
        if self.traced:
            self.loop.start_ns[task] = time.perf_counter_ns()
        if firing.fire is not None:
            firing.fire()
            self.complete(task)
        elif firing.request is not None:
            firing.request.Start()
            self.pending.append((firing.request, task))
        elif firing.arrival is not None:
            self.expected.append((firing.arrival, task))

    def poll(self) -> bool:
        """Complete the messages that have arrived; return whether any had."""
        done = [entry for entry in self.pending if entry[0].Test()]
        if done:
            self.pending = [entry for entry in self.pending if entry not in done]
            for _, task in done:
                self.complete(task)
        return bool(done)

    def look(self) -> bool:
        """Complete what has arrived from the input pipeline; return whether anything had."""
        done = [entry for entry in self.expected if entry[0].is_there()]
        if done:
            self.expected = [entry for entry in self.expected if entry not in done]
            for _, task in done:
                self.complete(task)
        return bool(done)

    def starve(self) -> None:
        """Sleep until the input pipeline has something; look after messages in between."""
        start_ns = time.perf_counter_ns()
        self.expected[0][0].wait(SLEEP_S if self.pending else None)
        self.loop.stall_ns += time.perf_counter_ns() - start_ns

    def run(self) -> None:
        """Fire until everything has completed."""
        fruitless, since_ns = 0, 0
        while self.left:
            moved = bool(self.pending) and self.poll()
            moved = (bool(self.expected) and self.look()) or moved
            if fruitless and (moved or self.ready):
                self.loop.waited_ns += time.perf_counter_ns() - since_ns
                fruitless = 0
            if self.ready:
                self.start(heappop(self.ready)[2])
            elif self.expected:
                self.starve()
            elif self.pending:
                if not fruitless:
                    since_ns = time.perf_counter_ns()
                fruitless += 1
                if fruitless > self.loop.polls_before_sleep:
                    time.sleep(SLEEP_S)
                elif fruitless > POLLS_BEFORE_YIELD:
                    os.sched_yield()
            elif self.left:
                raise DeadlockError(
                    f"step: {self.left} tasks wait for each other or for a slot, and no message is"
                    " under way; this plan should have been refused before it ran"
                )


class _ToldStep(_Step):
    """A step that says which items are freed."""

    def __init__(self, loop: ActorLoop, traced: bool, freed: Callable[[int], None]) -> None:
        super().__init__(loop, traced)
        self.freed = freed

    def complete(self, task: int) -> None:
        super().complete(task)
        for item in (*self.loop._unread[task], *self.loop._firings[task].frees):
            if not self.readers[item]:
                self.freed(item)

"""Bind a program to one worker: kernels to arena views, transfers to persistent MPI messages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from planner.opcall import DTYPE_BYTES
from planner.program import ComputeTask, Program, StageTask, View, rank_of
from runtime.actors import ActorLoop, Firing
from runtime.arena import Arena, Array
from runtime.device import HOST, Device, Messages
from runtime.feed import Feed
from runtime.kernels import Stream, changing


@dataclass(slots=True)
class Worker:
    """One rank's loop, arena and place in the data."""

    program: Program
    rank: int
    arena: Arena
    loop: ActorLoop
    tasks: list[int]
    """Program task of each firing."""
    fires: list[Callable[[], object] | None]
    requests: list[Any]
    step: list[int]
    """The one mutable cell that kernels read: the number of the step."""
    items: list[tuple[str, int]]
    """Register and slot of each item that this rank's tasks write."""
    kept: list[str]
    """Registers that no task takes and frees: what lives from step to step."""
    microbatches: int
    loading_ns: list[int]
    """The one that loading writes: how long it has taken so far, where steps do it themselves."""
    feed: Feed | None
    device: Device
    messages: Messages

    def is_fed(self, register: str) -> bool:
        """Whether a register is of this rank's input pipeline, and not of its arena."""
        return self.feed is not None and self.feed.ring.holds(register)

    def array(self, view: View) -> Array:
        """Return the array that a task of this rank names: of its arena, or of its pipeline."""
        if self.feed and self.is_fed(view.register):
            return self.feed.ring.array(view)
        return self.arena.view(view)

    def flat(self, register: str) -> Array:
        """Return a flat array: parameters, gradients or what the optimizer keeps."""
        dtype = next(
            view.dtype
            for info in self.program.tasks
            if isinstance(info, ComputeTask) and info.phase == "update" and info.rank == self.rank
            for view in info.views
            if view.register == register
        )
        slot_bytes = next(
            r.slot_bytes for r in self.program.registers[self.rank] if r.name == register
        )
        return self.arena.view(
            View(
                register=register,
                slot=0,
                offset_bytes=0,
                shape=(slot_bytes // DTYPE_BYTES[dtype],),
                dtype=dtype,
            )
        )

    def begin_at(self, step: int) -> None:
        """Let the next step to run be ``step``: an input pipeline begins with it anew."""
        self.step[0] = step
        if self.feed:
            self.feed.restart(step)

    @property
    def stall_ns(self) -> int:
        """Time so far in which this rank did nothing but get its input."""
        return self.loading_ns[0] + self.loop.stall_ns


def bind(
    program: Program,
    rank: int,
    comm: Any,
    fetch: Callable[[int, int, Array], None],
    stream: Callable[[int, int, str], Stream],
    feed: Feed | None = None,
    device: Device = HOST,
) -> Worker:
    """Return the worker bound to a device.

    ``fetch(step, microbatch, raw)`` fills raw records; ``stream(step, microbatch, task)`` says what
    the random numbers of a task depend on. Where the program has an input pipeline, ``feed`` is
    what runs it for this rank. ``comm`` is an MPI communicator whose rank is ``rank``; messages
    carry the task's id as their tag.
    """
    arena = Arena(program, rank, device)
    messages = device.messages(rank, comm, program)
    graph = program.graph
    tasks = sorted((*program.of_rank(rank), *program.arrivals(rank)))
    local = {task: i for i, task in enumerate(tasks)}
    mine = np.flatnonzero([rank == rank_of(name) for name in program.register_names])
    register_of = {int(r): i for i, r in enumerate(mine)}
    readers = graph.item_readers()
    step, loading_ns = [0], [0]
    fires: list[Callable[[], object] | None] = []
    requests: list[Any] = []
    firings: list[Firing] = []
    items: dict[int, int] = {}
    own_items: list[tuple[int, ...]] = []
    for task in tasks:
        first = int(graph.out_ptr[task])
        written = [(first + i, r) for i, r in enumerate(graph.row("out", task))]
        own = [item for item, register in written if register in register_of]
        for item in own:
            items[item] = len(items)
        own_items.append(tuple(items[item] for item in own))
    for task in tasks:
        info = program.tasks[task]
        fire, request, arrival, paced = None, None, None, None
        if isinstance(info, StageTask):
            assert feed is not None
            arrival = _Arrival(feed, step, info.microbatch)
        elif isinstance(info, ComputeTask) and feed and info.phase == "load":
            fire, paced = _copies(info, arena, step, feed, device)
        elif isinstance(info, ComputeTask):
            fire = _fire(info, arena, step, fetch, stream, device)
            paced = _timed(fire, loading_ns) if info.phase == "load" else None
        else:
            view = info.source if info.src == rank else info.target
            request = messages.request(task, info, arena.view(view))
        fires.append(fire)
        requests.append(request)
        firings.append(
            Firing(
                priority=int(graph.priority[task]),
                fire=paced or fire,
                request=request,
                arrival=arrival,
                after=tuple(local[d] for d in graph.row("dep", task) if d in local),
                writes=tuple(register_of[r] for r in graph.row("out", task) if r in register_of),
                frees=tuple(items[i] for i in graph.row("in", task) if i in items),
            )
        )
    slot_of, names = program.item_slots(), [n.rpartition("@")[0] for n in program.register_names]
    taken = {names[int(graph.out_idx[item])] for item in items}
    loop = ActorLoop(
        firings,
        slots=[int(graph.register_slots[r]) for r in mine],
        item_register=[register_of[int(graph.out_idx[item])] for item in items],
        item_readers=[len(readers[item]) for item in items],
        own_items=own_items,
    )
    return Worker(
        program=program,
        rank=rank,
        arena=arena,
        loop=loop,
        tasks=tasks,
        fires=fires,
        requests=requests,
        step=step,
        items=[(names[int(graph.out_idx[item])], int(slot_of[item])) for item in items],
        kept=[r.name for r in program.registers[rank] if r.name not in taken],
        microbatches=sum(
            isinstance(info, ComputeTask) and info.phase == "load"
            for info in (program.tasks[task] for task in tasks)
        ),
        loading_ns=loading_ns,
        feed=feed,
        device=device,
        messages=messages,
    )


@dataclass(slots=True)
class _Arrival:
    """A microbatch that the input pipeline decodes (``runtime.actors.Arrival``)."""

    feed: Feed
    step: list[int]
    microbatch: int

    @property
    def _firing(self) -> int:
        return self.feed.firing(self.step[0], self.microbatch)

    def is_there(self) -> bool:
        """Whether it has come; asked until it has."""
        return self.feed.arrived(self._firing)

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until it may be there."""
        self.feed.wait(self._firing, timeout_s)


def _copies(
    info: ComputeTask, arena: Arena, step: list[int], feed: Feed, device: Device
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the copy from whatever lies in the pipeline, and the one that has its turn in a step.

    The first is for timing alone; the second gives the slot back.
    """
    run = device.kernel(info.call)
    targets = _arrays(info, arena, len(info.call.reads))  # what it reads lies outside the arena

    def paced() -> None:
        firing = feed.firing(step[0], info.microbatch)
        run(*feed.decoded(firing), *targets)
        feed.free(firing)

    return partial(run, *feed.decoded(info.microbatch), *targets), paced


def _timed(fire: Callable[[], object], spent_ns: list[int]) -> Callable[[], object]:
    """Return ``fire`` that adds how long it took."""

    def timed() -> None:
        start_ns = time.perf_counter_ns()
        fire()
        spent_ns[0] += time.perf_counter_ns() - start_ns

    return timed


def _fire(
    info: ComputeTask,
    arena: Arena,
    step: list[int],
    fetch: Callable[[int, int, Array], None],
    stream: Callable[[int, int, str], Stream],
    device: Device,
) -> Callable[[], object]:
    """Return the kernel with its arrays and settings bound, and what changes with the step."""
    settings: dict[str, Any] = dict((*info.call.attrs, *info.call.settings))
    now: dict[str, Callable[..., object]] = {
        "fetch": lambda raw: fetch(step[0], info.microbatch, raw),
        "stream": lambda: stream(step[0], info.microbatch, info.name),
        "step": lambda: step[0],
    }
    settings |= {name: now[name] for name in changing(info.call.kernel)}
    return partial(device.kernel(info.call), *_arrays(info, arena), **settings)


def _arrays(info: ComputeTask, arena: Arena, first: int = 0) -> list[Array]:
    """Return the arguments of a task from the ``first`` on, laid out as its device has them."""
    pairs = zip(info.views[first:], info.call.tensors[first:], strict=True)
    return [arena.view(view, tensor) for view, tensor in pairs]

"""Programs: a task graph plus what the executor needs to give its tasks values."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.layout import Layout, Place
from planner.made import Made
from planner.opcall import OpCall
from planner.registers import Register
from planner.switching import SWITCH
from sim.sharing import check_sharing
from sim.taskgraph import TaskGraph

PHASES = ("load", "forward", "backward", "exchange", "update")

BESIDE = -1
"""Instead of a rank: what lies between the processes of an input pipeline."""


def rank_of(register_name: str) -> int:
    """Return whose arena a register of the graph is in, or ``BESIDE``.

    >>> rank_of("x@3"), rank_of("input.0.stored@host.3")
    (3, -1)
    """
    rank = register_name.rpartition("@")[2]
    return int(rank) if rank.isdecimal() else BESIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An array inside one slot of one register of one rank."""

    register: str
    slot: int
    offset_bytes: int
    """From the start of the slot."""
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeTask:
    """One firing of a kernel on one rank; ``views`` are its arguments in order."""

    name: str
    rank: int
    phase: str
    call: OpCall
    views: tuple[View, ...]
    microbatch: int = 0

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that take part."""
        return (self.rank,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """One firing of the input pipeline, in a process beside the worker that it feeds."""

    name: str
    rank: int
    """Worker that it feeds."""
    phase: str
    """``read`` or ``decode``."""
    call: OpCall
    views: tuple[View, ...]
    """What it writes, between the processes of the pipeline."""
    microbatch: int

    @property
    def ranks(self) -> tuple[int, ...]:
        """No worker takes part; the one that is fed hears of the end."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTask:
    """One message; the bytes of ``source`` at ``src`` become those of ``target`` at ``dst``.

    One end may be a switch (``planner.switching.SWITCH``): from it comes the sum of ``source`` at
    all ``members``, and what goes to it becomes ``target`` at all of them.
    """

    name: str
    src: int
    dst: int
    source: View
    target: View
    phase: str = "exchange"
    members: tuple[int, ...] = ()

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that take part."""
        return self.members or (self.src, self.dst)

    @property
    def way(self) -> str:
        """From where to where, e.g. ``0->1``."""
        return "->".join("switch" if end == SWITCH else str(end) for end in (self.src, self.dst))


Task = ComputeTask | TransferTask | StageTask


@dataclass(frozen=True, slots=True)
class Deed:
    """What a task does, without its arrays."""

    phase: str
    call: OpCall | None
    """None of a transfer."""
    ends: tuple[int, ...]
    """Rank that computes or is fed; source and destination of a transfer."""


def deed_of(task: Task) -> Deed:
    """Return what a task does."""
    if isinstance(task, TransferTask):
        return Deed(task.phase, None, (task.src, task.dst))
    return Deed(task.phase, task.call, (task.rank,))


class RankedTasks(Made[Task]):
    """Tasks that know whose they are without being looked at one by one."""

    def deed(self, at: int) -> Deed:
        """Return what task ``at`` does."""
        return deed_of(self[at])

    @abstractmethod
    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part, ascending."""

    @abstractmethod
    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield ranks, op calls and the places of what they compute, all of them."""

    def sends(self) -> Iterator[tuple[int, int, Ints]]:
        """Yield sources, destinations and the places of their transfers, all of them."""
        yield from ()


def calls_among(tasks: Iterable[Task]) -> Iterator[tuple[int, OpCall, Ints]]:
    """Yield ranks, op calls and the places of what they compute, of tasks that stand one by one."""
    places: dict[tuple[int, int], tuple[OpCall, list[int]]] = {}
    for place, info in enumerate(tasks):
        if not isinstance(info, TransferTask):
            places.setdefault((info.rank, id(info.call)), (info.call, []))[1].append(place)
    for (rank, _), (call, some) in places.items():
        yield rank, call, np.array(some, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The one program of a step, or of several: what the simulator times and the executor runs."""

    graph: TaskGraph
    tasks: Sequence[Task]
    layouts: tuple[Layout, ...]
    """By rank."""
    register_names: Sequence[str]
    """By register id of the graph."""
    ends: tuple[int, ...] = ()
    """By step: one past its last task."""

    @property
    def ranks(self) -> int:
        """Number of workers."""
        return len(self.layouts)

    def label(self, task: int) -> str:
        """Name of a task for people, with the ranks that run it."""
        info = self.tasks[task]
        return f"{info.name}@{info.way if isinstance(info, TransferTask) else info.rank}"

    def deed(self, task: int) -> Deed:
        """What a task does; quicker than making it."""
        tasks = self.tasks
        return tasks.deed(task) if isinstance(tasks, RankedTasks) else deed_of(tasks[task])

    @property
    def registers(self) -> tuple[tuple[Register, ...], ...]:
        """By rank."""
        return tuple(layout.registers for layout in self.layouts)

    def arena_bytes(self, rank: int) -> int:
        """Bytes of the static arena of ``rank``."""
        return self.layouts[rank].size_bytes

    def check_sharing(self) -> None:
        """Check that registers that share bytes of an arena are never alive together.

        Raises
        ------
        PlanError
            Naming the registers and the tasks between which a dependency is missing.
        """
        places = self._places()
        check_sharing(
            self.graph,
            first_byte=np.array([place.first_byte for place in places], dtype=np.int64),
            step_bytes=np.array([place.step_bytes for place in places], dtype=np.int64),
            item_slot=self.item_slots(),
            label=self.label,
            name_register=self.register_names.__getitem__,
        )

    def _places(self) -> list[Place]:
        """Return where each register lies: in an arena, or between the processes of a pipeline.

        Each of the latter has a place of its own, behind all others: they share no bytes.
        """
        found, end = [], 0
        for register, full_name in enumerate(self.register_names):
            rank, name = rank_of(full_name), full_name.rpartition("@")[0]
            stride_bytes = int(self.graph.register_bytes[register])
            place = Place(first_byte=end, step_bytes=stride_bytes)
            if rank == BESIDE:
                end += int(self.graph.register_slots[register]) * stride_bytes
            found.append(place if rank == BESIDE else self.layouts[rank].places[name])
        return found

    def item_slots(self) -> Ints:
        """Return the slot in which each item of the graph lies, by the views of its writer."""
        names = [full_name.rpartition("@")[0] for full_name in self.register_names]
        found = np.zeros(len(self.graph.out_idx), dtype=np.int64)
        for task, info in enumerate(self.tasks):
            views = (info.target,) if isinstance(info, TransferTask) else info.views
            slots = {view.register: view.slot for view in views}
            first = int(self.graph.out_ptr[task])
            for i, register in enumerate(self.graph.row("out", task)):
                found[first + i] = slots[names[register]]
        return found

    def of_rank(self, rank: int) -> list[int]:
        """Tasks in which ``rank`` takes part, ascending."""
        if isinstance(self.tasks, RankedTasks):
            return self.tasks.of_rank(rank)
        return [i for i, info in enumerate(self.tasks) if rank in info.ranks]

    def arrivals(self, rank: int) -> list[int]:
        """Tasks that decode for ``rank``, ascending."""
        return [
            i
            for i, info in enumerate(self.tasks)
            if isinstance(info, StageTask) and info.phase == "decode" and info.rank == rank
        ]

"""Programs: a task graph plus what the executor needs to give its tasks values."""

from dataclasses import dataclass

from planner.opcall import OpCall
from planner.registers import Register
from sim.taskgraph import TaskGraph

PHASES = ("load", "forward", "backward", "exchange", "update")


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
    microbatch: int

    @property
    def ranks(self) -> tuple[int, ...]:
        """No worker takes part; the one that is fed hears of the end."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTask:
    """One message; the bytes of ``source`` at ``src`` become those of ``target`` at ``dst``."""

    name: str
    src: int
    dst: int
    source: View
    target: View
    phase: str = "exchange"

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that take part."""
        return (self.src, self.dst)


Task = ComputeTask | TransferTask | StageTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The one program of a step, or of several: what the simulator times and the executor runs."""

    graph: TaskGraph
    tasks: tuple[Task, ...]
    registers: tuple[tuple[Register, ...], ...]
    """By rank, in arena order."""
    register_names: tuple[str, ...]
    """By register id of the graph."""
    ends: tuple[int, ...] = ()
    """By step: one past its last task."""

    @property
    def ranks(self) -> int:
        """Number of workers."""
        return len(self.registers)

    def label(self, task: int) -> str:
        """Name of a task for people, with the ranks that run it."""
        info = self.tasks[task]
        if isinstance(info, StageTask):
            return f"{info.name}@{info.rank}"
        return f"{info.name}@{'->'.join(map(str, info.ranks))}"

    def arena_bytes(self, rank: int) -> int:
        """Bytes of the static arena of ``rank``."""
        return sum(register.arena_bytes for register in self.registers[rank])

    def offsets(self, rank: int) -> dict[str, int]:
        """First byte of each register in the arena of ``rank``."""
        found, at = {}, 0
        for register in self.registers[rank]:
            found[register.name] = at
            at += register.arena_bytes
        return found

    def of_rank(self, rank: int) -> list[int]:
        """Tasks in which ``rank`` takes part, ascending."""
        return [i for i, info in enumerate(self.tasks) if rank in info.ranks]

    def arrivals(self, rank: int) -> list[int]:
        """Tasks that decode for ``rank``, ascending."""
        return [
            i
            for i, info in enumerate(self.tasks)
            if isinstance(info, StageTask) and info.phase == "decode" and info.rank == rank
        ]

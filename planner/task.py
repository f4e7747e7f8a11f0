"""Tasks as the executor sees them: which kernel or message, and on which arrays."""

from dataclasses import dataclass

from planner.opcall import OpCall
from planner.switching import SWITCH


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

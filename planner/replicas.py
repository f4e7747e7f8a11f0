"""Workers alike: the passes of the first worker are lowered, those of the others are copied.

Where two workers have the same kind of device, their passes are the same tasks on other lanes and
registers. A copy is what lowering again would give, number by number, in a fraction of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwprofiles.units import Ints
from planner.lowering import Lowering, Passes
from planner.opcall import OpCall
from planner.program import ComputeTask, RankedTasks, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The passes of worker 0: the first tasks of the program."""

    block: int
    """Of the graph."""
    passes: Passes
    infos: RankedTasks
    names: tuple[str, ...]
    """Of its actors, in the order of their ids."""

    @classmethod
    def of(cls, work: Lowering, passes: Passes) -> "Template":
        """Note what has been lowered so far: the passes of worker 0, and nothing else."""
        infos = work.tasks.sealed()
        assert len(infos) == work.graph.tasks, "passes only compute"
        return cls(
            block=work.graph.close_block(),
            passes=passes,
            infos=infos,
            names=tuple(name for _, name in work.actors),
        )

    def fits(self, work: Lowering, rank: int) -> bool:
        """Whether the passes of ``rank`` are those of worker 0 on lanes of its own."""
        first, other = (work.cluster.devices[work.plan.placement[r]] for r in (0, rank))
        here, there = (work.lanes_of(own) for own in (0, rank))
        return first == other and set(here).isdisjoint(there)

    def copies(self, work: Lowering, ranks: Sequence[int]) -> list[Passes]:
        """Append the passes of some ranks; updates follow them, no other passes."""
        first = work.actor_count
        work.actor_count += len(self.names) * len(ranks)
        size = 1 + max(work.lanes_of(0))
        lanes = [dict(zip(work.lanes_of(0), work.lanes_of(rank), strict=True)) for rank in ranks]
        shifts = work.graph.repeat(
            self.block,
            lanes=np.stack([_lookup(own, size) for own in lanes]),
            registers=np.stack([_registers(work, rank) for rank in ranks]),
            actors=np.arange(first, work.actor_count, len(self.names)),
        )
        for rank in ranks:
            work.tasks.add(CopiedTasks(self.infos, rank))
        return [self.passes.shifted(shift) for shift in shifts]


@dataclass(frozen=True, slots=True, eq=False)
class CopiedTasks(RankedTasks):
    """The tasks of another worker, made when somebody looks at them."""

    infos: RankedTasks
    rank: int

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part: all, or none."""
        return list(range(len(self.infos))) if rank == self.rank else []

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield the rank, op calls and the places of what it computes, all of them."""
        yield from ((self.rank, call, places) for _, call, places in self.infos.calls())

    def __len__(self) -> int:
        return len(self.infos)

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        info = self.infos[at]
        assert isinstance(info, ComputeTask), "passes only compute"
        return replace(info, rank=self.rank)


def _registers(work: Lowering, rank: int) -> Ints:
    """Return an array that maps registers of worker 0 to those of ``rank`` with the same name."""
    here, there = work.register_ids[0], work.register_ids[rank]
    if list(here) == list(there):  # ranks have theirs one after the other
        return np.arange(len(here), dtype=np.int64) + next(iter(there.values()))
    same = {i: there[name] for name, i in here.items() if name in there}
    return _lookup(same, len(here))


def _lookup(ids: dict[int, int], size: int) -> Ints:
    """Return an array that maps ids below ``size``; one that is not among them is no id."""
    found = np.full(size, -1, dtype=np.int64)
    found[list(ids)] = list(ids.values())
    return found

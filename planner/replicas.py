"""Workers alike: the passes of the first worker are lowered, those of the others are copied.

Where two workers have the same kind of device, their passes are the same tasks on other lanes and
registers. A copy is what lowering again would give, number by number, in a fraction of the time.
"""

from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.lowering import LANES, Lowering, Passes
from planner.task import ComputeTask
from planner.tasklist import Copied


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The passes of worker 0: the first tasks of the program."""

    block: int
    """Of the graph."""
    passes: Passes
    infos: tuple[ComputeTask, ...]
    actors: int
    """How many it has; they are the first ones."""

    @classmethod
    def of(cls, work: Lowering, passes: Passes) -> "Template":
        """Note what has been lowered so far: the passes of worker 0, and nothing else."""
        infos = tuple(info for info in work.tasks if isinstance(info, ComputeTask))
        assert len(infos) == work.graph.tasks, "passes only compute"
        return cls(
            block=work.graph.close_block(),
            passes=passes,
            infos=infos,
            actors=work.actor_count,
        )

    def fits(self, work: Lowering, rank: int) -> bool:
        """Whether the passes of ``rank`` are those of worker 0 on lanes of its own."""
        kinds = [work.cluster.devices[work.plan.placement[r]] for r in (0, rank)]
        lanes = [{work.lanes[own, kind] for kind in LANES} for own in (0, rank)]
        return kinds[0] == kinds[1] and lanes[0].isdisjoint(lanes[1])

    def copy(self, work: Lowering, rank: int) -> Passes:
        """Append the passes of ``rank``; no later task of a step writes what they write."""
        lanes = {work.lanes[0, kind]: work.lanes[rank, kind] for kind in LANES}
        registers = work.registers_of(0)
        shift = work.graph.repeat(
            self.block,
            lanes=_lookup(lanes),
            registers=np.arange(registers.stop) + work.registers_of(rank).start - registers.start,
            actor=work.actor_count,
        )
        work.actor_count += self.actors
        work.tasks.extend(Copied(self.infos, rank))
        return Passes(
            gradient={layer: task + shift for layer, task in self.passes.gradient.items()},
            reader={layer: task + shift for layer, task in self.passes.reader.items()},
        )


def _lookup(ids: dict[int, int]) -> Ints:
    """Return an array that maps ids; one that is not among them is no id."""
    found = np.full(max(ids) + 1, -1, dtype=np.int64)
    found[list(ids)] = list(ids.values())
    return found

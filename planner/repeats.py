"""Microbatches alike: from the fourth on each is the one before, as much later as that is long.

The first accumulates nothing, the second waits for what the first lacks; the third waits for the
one or two before it as all later ones do. So those are copied, and are what lowering would give,
number by number, where nothing feeds them from outside and no step follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hwprofiles.units import Ints
from planner.lowering import Lowering, Passes
from planner.opcall import OpCall
from planner.program import ComputeTask, RankedTasks, Task, calls_among

LOWERED = 3
"""Microbatches that are lowered; the last of them stands for all later ones."""


def repeat_last(work: Lowering, rank: int, passes: Passes, first: int) -> None:
    """Append all microbatches of ``rank`` after the third, whose tasks begin at ``first``."""
    times = work.plan.microbatches(work.training.batch) - LOWERED
    infos = tuple(info for info in work.tasks[first:] if isinstance(info, ComputeTask))
    assert len(infos) == work.graph.tasks - first, "passes only compute"
    work.graph.again(first, times)
    work.tasks.add(RepeatedTasks(infos, rank, dict(work.slots), times))
    for known in (passes.gradient, passes.reader):
        later = {layer: task + times * len(infos) for layer, task in known.items() if task >= first}
        known.update(later)


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedTasks(RankedTasks):
    """The tasks of later microbatches, made when somebody looks at them."""

    infos: tuple[ComputeTask, ...]
    """Of the third microbatch."""
    rank: int
    slots: dict[str, int]
    """By register."""
    times: int

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part: all, or none."""
        return list(range(len(self))) if rank == self.rank else []

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield the rank, op calls and the places of what it computes, all of them."""
        begins = np.arange(0, len(self), len(self.infos))[:, None]
        for rank, call, places in calls_among(self.infos):
            yield rank, call, (begins + places).reshape(-1)

    def __len__(self) -> int:
        return len(self.infos) * self.times

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        later, place = divmod(at, len(self.infos))
        number, info = LOWERED + later, self.infos[place]
        views = tuple(
            replace(view, slot=number % max(1, self.slots[view.register])) for view in info.views
        )
        return replace(info, views=views, microbatch=number)

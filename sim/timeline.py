"""Timelines: who ran from when to when. The simulator and the executor both return this type."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import PS_PER_S, Ints
from sim.taskgraph import TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """Start and end of every task, in task order, picoseconds from the start of the step."""

    start_ps: Ints
    end_ps: Ints
    solved: int = 0
    """Flows whose shares the array engine worked out, as often as it did: what contention took."""

    @classmethod
    def from_lists(cls, start_ps: Sequence[int], end_ps: Sequence[int]) -> "Timeline":
        """Return the timeline of these instants.

        Raises
        ------
        PlanError
            When an instant does not fit a 64-bit integer.
        """
        try:
            start, end = np.array(start_ps, dtype=np.int64), np.array(end_ps, dtype=np.int64)
        except OverflowError:
            raise too_long(max(end_ps) / PS_PER_S) from None
        return cls(start_ps=start, end_ps=end)

    @property
    def makespan_ps(self) -> int:
        """End of the last task."""
        return int(self.end_ps.max(initial=0))

    @property
    def makespan_s(self) -> float:
        """End of the last task, seconds."""
        return self.makespan_ps / PS_PER_S

    def equals(self, other: "Timeline") -> bool:
        """Whether every start and every end is exactly the same."""
        same_start = np.array_equal(self.start_ps, other.start_ps)
        return same_start and np.array_equal(self.end_ps, other.end_ps)

    def lane_busy_ps(self, graph: TaskGraph) -> Ints:
        """Return how long each lane was held, picoseconds, shape (L,)."""
        busy = np.zeros(len(graph.lane_device), dtype=np.int64)
        held_ps = np.repeat(self.end_ps - self.start_ps, np.diff(graph.lane_ptr))
        np.add.at(busy, graph.lane_idx, held_ps)
        return busy


def too_long(step_s: float) -> PlanError:
    """Return the error of a step whose instants do not fit 64 bits."""
    return PlanError(
        f"the step would take {step_s:.3g} s, and the simulator counts at most 2**63 ps (106"
        " days); check durations, payloads and bandwidths"
    )

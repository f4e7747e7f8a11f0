"""The tasks of a program in parts: those that are made when somebody looks at one, and others."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from hwprofiles.units import Ints
from planner.opcall import OpCall
from planner.program import Deed, RankedTasks, Task, TransferTask, calls_among, deed_of


@dataclass(slots=True, eq=False)
class TaskList(RankedTasks):
    """Tasks in the order of their ids; append-only."""

    parts: list[list[Task] | RankedTasks] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    """By part: the id of its first task."""

    def append(self, task: Task) -> None:
        """Add one task."""
        if not self.parts or not isinstance(self.parts[-1], list):
            self.firsts.append(len(self))
            self.parts.append([])
        last = self.parts[-1]
        assert isinstance(last, list)
        last.append(task)

    def add(self, made: RankedTasks) -> None:
        """Add a part."""
        self.firsts.append(len(self))
        self.parts.append(made)

    def last(self, count: int) -> list[Task]:
        """Return the last tasks, which were added one by one."""
        last = self.parts[-1]
        assert isinstance(last, list)
        return last[-count:]

    def sealed(self) -> "TaskList":
        """Return the tasks so far, to which nothing is added."""
        parts = [list(part) if isinstance(part, list) else part for part in self.parts]
        return TaskList(parts=parts, firsts=list(self.firsts))

    def of_rank(self, rank: int) -> list[int]:
        """Return the tasks in which ``rank`` takes part, ascending."""
        found: list[int] = []
        for first, part in zip(self.firsts, self.parts, strict=True):
            if isinstance(part, list):
                found += [first + i for i, info in enumerate(part) if rank in info.ranks]
            else:
                found += [first + i for i in part.of_rank(rank)]
        return found

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield ranks, op calls and the places of what they compute, all of them."""
        for first, part in zip(self.firsts, self.parts, strict=True):
            found = calls_among(part) if isinstance(part, list) else part.calls()
            yield from ((rank, call, first + places) for rank, call, places in found)

    def sends(self) -> Iterator[tuple[int, int, Ints]]:
        """Yield sources, destinations and the places of their transfers, all of them."""
        for first, part in zip(self.firsts, self.parts, strict=True):
            if isinstance(part, list):
                assert not any(isinstance(info, TransferTask) for info in part), "written at once"
            else:
                yield from ((src, dst, first + places) for src, dst, places in part.sends())

    def __len__(self) -> int:
        return self.firsts[-1] + len(self.parts[-1]) if self.parts else 0

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        part = bisect_right(self.firsts, at) - 1
        return self.parts[part][at - self.firsts[part]]

    def deed(self, at: int) -> Deed:
        """Return what task ``at`` does."""
        place = bisect_right(self.firsts, at) - 1
        part, at = self.parts[place], at - self.firsts[place]
        return deed_of(part[at]) if isinstance(part, list) else part.deed(at)

    def __iter__(self) -> Iterator[Task]:
        return chain(*self.parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(lambda a, b: a == b, self, other))

    __hash__ = None  # type: ignore[assignment]

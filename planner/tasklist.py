"""The tasks of a program in a row; those that many workers share are made when somebody looks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, overload

import numpy as np

from planner.task import ComputeTask, Task


class Part(Protocol):
    """Some tasks in a row."""

    def __len__(self) -> int: ...

    def task(self, place: int) -> Task:
        """Return one of them."""
        ...

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part, ascending."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """Tasks written one by one."""

    tasks: list[Task]

    def __len__(self) -> int:
        return len(self.tasks)

    def task(self, place: int) -> Task:
        """Return one of them."""
        return self.tasks[place]

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part."""
        return [place for place, task in enumerate(self.tasks) if rank in task.ranks]


@dataclass(frozen=True, slots=True)
class Copied:
    """The tasks of one worker, done by another."""

    tasks: Sequence[ComputeTask]
    rank: int

    def __len__(self) -> int:
        return len(self.tasks)

    def task(self, place: int) -> Task:
        """Return one of them."""
        return replace(self.tasks[place], rank=self.rank)

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part."""
        return list(range(len(self.tasks))) if rank == self.rank else []


class TaskList(Sequence[Task]):
    """Parts in a row; it grows at its end."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> Task: ...
    @overload
    def __getitem__(self, at: slice) -> list[Task]: ...
    def __getitem__(self, at: int | slice) -> Task | list[Task]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        at = at + len(self) if at < 0 else at
        if not 0 <= at < len(self):
            raise IndexError(at)
        number = int(np.searchsorted(self._ends, at, side="right"))
        part = self._parts[number]
        return part.task(at - self._ends[number] + len(part))

    def __iter__(self) -> Iterator[Task]:
        for part in self._parts:
            yield from map(part.task, range(len(part)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def append(self, task: Task) -> None:
        """Add one task."""
        last = self._parts[-1] if self._parts else None
        if isinstance(last, Written):
            last.tasks.append(task)
            self._ends[-1] += 1
        else:
            self.extend(Written([task]))

    def extend(self, part: Part) -> None:
        """Add many tasks."""
        self._parts.append(part)
        self._ends.append(len(self) + len(part))

    def of_rank(self, rank: int) -> list[int]:
        """Return the tasks in which ``rank`` takes part, ascending."""
        found: list[int] = []
        for part, end in zip(self._parts, self._ends, strict=True):
            first = end - len(part)
            found += [first + place for place in part.of_rank(rank)]
        return found

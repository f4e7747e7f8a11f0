"""Sets of tasks that somebody waits for, many at once as arrays."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np

from hwprofiles.units import Ints
from planner.collectives.base import Tasks


@dataclass(frozen=True, eq=False)
class TaskSets:
    """Sets of tasks, one after the other."""

    lengths: Ints
    """By set."""
    ids: Ints

    @classmethod
    def of(cls, sets: Collection[Tasks]) -> "TaskSets":
        """Return sets that are given one by one."""
        lengths = np.fromiter(map(len, sets), dtype=np.int64, count=len(sets))
        count = int(lengths.sum())
        return cls(lengths, np.fromiter(chain.from_iterable(sets), dtype=np.int64, count=count))

    @classmethod
    def single(cls, ids: Ints) -> "TaskSets":
        """Return sets of one task each."""
        return cls(np.ones(len(ids), dtype=np.int64), ids)

    @cached_property
    def ptr(self) -> Ints:
        """Where each set begins, and where the last one ends."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def take(self, which: Ints) -> "TaskSets":
        """Return some sets in another order, each as often as it is named."""
        lengths = self.lengths[which]
        ends = np.cumsum(lengths)
        begin = self.ptr[which] - (ends - lengths)
        at = np.repeat(begin, lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
        return TaskSets(lengths, self.ids[at])

    def later(self, shifts: Ints) -> "TaskSets":
        """Return each set with tasks that come later by its shift."""
        return TaskSets(self.lengths, self.ids + np.repeat(shifts, self.lengths))

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Tasks]:
        ids = self.ids.tolist()
        return (tuple(ids[a:b]) for a, b in pairwise(self.ptr.tolist()))


def united(count: int, parts: Sequence[tuple[Ints, TaskSets]]) -> TaskSets:
    """Return ``count`` sets, ascending; each part says of its sets into which of them they go."""
    keys = [(np.repeat(into, sets.lengths) << 32) + sets.ids for into, sets in parts]
    found = np.sort(np.concatenate(keys), kind="stable")  # runs that ascend are only merged
    found = found[np.diff(found, prepend=-1) > 0]
    return TaskSets(np.bincount(found >> 32, minlength=count), found & 0xFFFFFFFF)

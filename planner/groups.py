"""Rows that belong together, and what a ufunc makes of them: one row for each run of rows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hwprofiles.units import Ints


@dataclass(frozen=True, eq=False)
class Runs:
    """Rows of an array, run after run, none of them empty."""

    order: Ints
    """Numbers of the rows."""
    starts: Ints
    """Where in ``order`` each run begins."""
    each: int
    """Rows of every run, 0 where runs differ."""

    @cached_property
    def sizes(self) -> Ints:
        """Rows of each run."""
        return np.diff(self.starts, append=len(self.order))

    @cached_property
    def _alike(self) -> list[tuple[Ints, Ints]]:
        """Runs of one length, and their rows, (runs, length)."""
        found = ((n, np.flatnonzero(self.sizes == n)) for n in np.unique(self.sizes).tolist())
        return [(runs, self.order[self.starts[runs, None] + np.arange(n)]) for n, runs in found]

    def reduce(self, ufunc: np.ufunc, values: Any, some: Ints | None = None) -> Any:
        """Return ``ufunc`` over the rows of each run, (rows, N) to (runs, N).

        The rows are ``some`` of those of ``values``, where they are given. It is ``reduceat``, but
        that goes down column by column, and takes some times as long.
        """

        def of(rows: Ints) -> Any:
            rows = rows if some is None else some[rows]
            return ufunc.reduce(values[rows], axis=1) if rows.shape[1] > 1 else values[rows[:, 0]]

        if self.each:
            return of(self.order.reshape(-1, self.each))
        found = np.empty((len(self.starts), *values.shape[1:]), dtype=values.dtype)
        for runs, rows in self._alike:
            found[runs] = of(rows)
        return found


@dataclass(frozen=True, eq=False)
class Groups(Runs):
    """Rows gathered by a key."""

    keys: Ints

    @classmethod
    def of(cls, keys: Ints) -> "Groups":
        """Group positions by equal key."""
        order = np.argsort(keys, kind="stable")
        distinct, starts, sizes = np.unique(keys[order], return_index=True, return_counts=True)
        each = int(sizes.max(initial=0))
        return cls(order, starts, each if (sizes == each).all() else 0, distinct)

    def rows(self, place: int) -> Ints:
        """Return the rows of the key at ``place``."""
        start = self.starts[place]
        return self.order[start : start + self.sizes[place]]

    def by_key(
        self, ufunc: np.ufunc, values: Ints, size: int, empty: int, some: Ints | None = None
    ) -> Ints:
        """Return the same for keys 0 .. size - 1, ``empty`` where there is none."""
        found = np.full((size, values.shape[1]), empty, dtype=np.int64)
        found[self.keys] = self.reduce(ufunc, values, some)
        return found

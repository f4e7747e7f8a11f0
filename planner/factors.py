"""Factors: functions of named axes as tables, built by the scalar code and gathered by index."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hwprofiles.units import Ints


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Factor:
    """A quantity that depends on some axes of a space alone."""

    axes: tuple[str, ...]
    table: Ints
    """One value for each combination, axes in the order of ``axes``."""

    @classmethod
    def over(
        cls, axes: Mapping[str, Sequence[Any]], names: Sequence[str], value: Callable[..., int]
    ) -> "Factor":
        """Build the table of ``value`` over the product of the axes called ``names``."""
        shape = tuple(len(axes[name]) for name in names)
        every = [value(*row) for row in product(*(axes[name] for name in names))]
        return cls(axes=tuple(names), table=np.array(every, dtype=np.int64).reshape(shape))

    def gather(self, indices: Mapping[str, Ints]) -> Ints:
        """Return the value of each row, given its place on every axis."""
        at: Ints | int = 0
        for name, count in zip(self.axes, self.table.shape, strict=True):
            at = at * count + indices[name] if count > 1 else at
        flat = self.table.ravel()
        if isinstance(at, int):
            rows = len(next(iter(indices.values())))
            return np.full(rows, flat[0], dtype=np.int64)
        return flat[at]

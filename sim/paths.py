"""Routes of a graph that is being built, each kept once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.units import Floats
from sim.blocks import Ids, Rows, rows_of_lists, rows_of_table


@dataclass(slots=True)
class Paths:
    """Numbers routes in the order in which they come; equal ones, of equal cap, share one."""

    _known: dict[tuple[tuple[int, ...], float], int] = field(default_factory=dict)
    _first: Ids = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int32))
    """Those of the first call of ``many``, until another call has to know them."""
    _first_cap: float = float("inf")

    def one(self, links: Sequence[int], cap_bytes_per_s: float) -> int:
        """Return the id of the route over ``links``."""
        self._learn_first()
        return self._known.setdefault((tuple(links), cap_bytes_per_s), len(self._known))

    def many(self, links: Ids, cap_bytes_per_s: float) -> Ids:
        """Return the ids of routes of equal length, given as an array (n, hops)."""
        self._learn_first()
        order = np.lexsort(links.T)
        ordered = links[order]
        new = np.any(np.diff(ordered, axis=0, prepend=-1), axis=1)
        if self._known:
            ids = np.array([self.one(row, cap_bytes_per_s) for row in ordered[new].tolist()])
        else:
            self._first, self._first_cap = ordered[new], cap_bytes_per_s
            ids = np.arange(len(self._first))
        routes = np.empty(len(links), dtype=np.int32)
        routes[order] = ids[np.cumsum(new) - 1]
        return routes

    def rows(self) -> tuple[Rows, Floats]:
        """Return the links that each route crosses, and its cap: one number where all agree."""
        if len(self._first):
            caps = np.broadcast_to(self._first_cap, len(self._first))
            return rows_of_table(self._first, ordered=False), caps
        caps = np.array([cap for _, cap in self._known], dtype=np.float64)
        if len(caps) and (caps == caps[0]).all():
            caps = np.broadcast_to(caps[0], len(caps))
        return rows_of_lists([links for links, _ in self._known]), caps

    def _learn_first(self) -> None:
        for row in self._first.tolist():
            self._known.setdefault((tuple(row), self._first_cap), len(self._known))
        self._first = self._first[:0]

"""Routes between ranks, and what the links do that the transfers of an algorithm cross.

Index letters as in ``planner.moves``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hwprofiles.cluster import Cluster
from hwprofiles.link import Route
from hwprofiles.units import PS_PER_S, Floats, Ints
from planner.groups import Groups
from planner.moves import Moves
from planner.switching import SWITCH, Joined, carried, route_between

ROUNDING_FRAC = 2.0**-30
"""Taken off the time of a shared link: rates of flows are floats, and their sum may exceed it."""

LATER = np.iinfo(np.int64).max // 4
"""Where a lane has nothing to do."""


REDUCE = (np.minimum, np.add, np.minimum)
EMPTY = (LATER, 0, LATER)
"""Fill, work and drain of several moves, and of none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Routes:
    """Routes between the ranks of a placement."""

    cluster: Cluster
    placement: tuple[int, ...]
    item_bytes: int
    known: dict[tuple[int, int], Route | Joined] = field(default_factory=dict, repr=False)
    """By pair of ranks, as far as anybody asked."""
    ends: list[tuple[int, int]] = field(default_factory=list, repr=False)
    """By kind of moves, as far as anybody asked: source and destination of one of them."""
    _kinds: dict[object, int] = field(default_factory=dict, repr=False)

    def route(self, src: int, dst: int) -> Route | Joined:
        """Return the route from rank to rank; one past the last rank is the switch."""
        if (src, dst) not in self.known:
            ends = (SWITCH if end == len(self.placement) else end for end in (src, dst))
            self.known[src, dst] = route_between(self.cluster, self.placement, *ends)
        return self.known[src, dst]

    def kinds(self, pairs: Ints) -> Ints:
        """Return by pair of ranks, (n, 2), of which kind it is: moves of one cost the same."""
        at = pairs[:, 0] * (len(self.placement) + 1) + pairs[:, 1]
        for pair in np.unique(at[self._kind_of[at] < 0]).tolist():
            ends = divmod(pair, len(self.placement) + 1)
            kind = self._kinds.setdefault(self._kind(*ends), len(self.ends))
            if kind == len(self.ends):
                self.ends.append(ends)
            self._kind_of[pair] = kind
        found: Ints = self._kind_of[at]
        return found

    @cached_property
    def _kind_of(self) -> Ints:
        """By pair as one number: its kind, -1 where nobody asked yet."""
        return np.full((len(self.placement) + 1) ** 2, -1, dtype=np.int64)

    def _kind(self, src: int, dst: int) -> object:
        """Return what is equal for moves that cost the same: links crossed, or who adds."""
        if src == dst:
            return self.cluster.devices[self.placement[src]].name
        return tuple(map(id, self.route(src, dst).links))


def crossing_ps(payload_bytes: Ints, bytes_per_s: Floats | float) -> Ints:
    """Return the time in which a link carries so many bytes, at least."""
    seconds = payload_bytes / bytes_per_s
    return np.floor(seconds * (PS_PER_S * (1 - ROUNDING_FRAC))).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Crossed:
    """The links that the transfers of an algorithm cross."""

    place: Ints
    """By crossing: which of ``moves.by_pair`` crosses."""
    by_link: Groups
    """Crossings by link."""
    rate: Floats
    """By link, bytes per second."""
    item_bytes: int
    switched: Mapping[int, Joined]
    """By place of those of ``moves.by_pair`` that go through a switch: their routes."""

    @classmethod
    def of(cls, moves: Moves, routes: Routes) -> "Crossed":
        """Follow the routes of all pairs."""
        ways = [
            routes.route(*divmod(pair, moves.ranks + 1)) for pair in moves.by_pair.keys.tolist()
        ]
        crossed = [(place, link) for place, way in enumerate(ways) for link in way.link_ids]
        place, link = np.array(crossed, dtype=np.int64).T
        by_link = Groups.of(link)
        rate = np.array([routes.cluster.links[i].bandwidth_bytes_per_s for i in by_link.keys])
        return cls(
            place=place,
            by_link=by_link,
            rate=rate,
            item_bytes=routes.item_bytes,
            switched={i: way for i, way in enumerate(ways) if isinstance(way, Joined)},
        )

    @property
    def links(self) -> Ints:
        """Ids of the links."""
        return self.by_link.keys

    def moves_of(self, moves: Moves, link: int) -> Ints:
        """Return the transfers that cross the link at a place of ``links``."""
        pairs = self.place[self.by_link.rows(link)].tolist()
        found: Ints = moves.sends[np.concatenate([moves.by_pair.rows(pair) for pair in pairs])]
        return found

    def work(self, moves: Moves, width: Ints, times: tuple[Ints, Ints]) -> list[Ints]:
        """Return fill, work and drain of the links, each (links, N)."""
        starts, rests = (array[moves.sends] for array in times)
        payload = width[moves.sends] * self.item_bytes
        for place, way in self.switched.items():
            own = moves.by_pair.rows(place)
            payload[own] = carried(way, payload[own])
        of = (starts, payload, rests)
        by_pair = [moves.by_pair.reduce(f, a) for f, a in zip(REDUCE, of, strict=True)]
        fill, payload, drain = (
            self.by_link.reduce(f, a[self.place]) for f, a in zip(REDUCE, by_pair, strict=True)
        )
        return [fill, crossing_ps(payload, self.rate[:, None]), drain]

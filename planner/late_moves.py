"""Moves that cannot begin before some time, whatever was done of all others.

A lane, or a link, that takes what is there first has still to do, at any time, all its moves that
could not begin before. So a step takes at least, for any lane and time: the time, these moves, and
the least that follows any of its moves (a part of the bound of one machine with heads and tails;
Carlier, European J. Operational Research 11, 1982). The sets that are looked at, all buckets and
all but the smallest, do not depend on how fast links are: so no faster link raises what is told.

Arrivals that are added keep their order, so one waits until so many before it are added that a
slot of its landing register is free.

Additions wait for the firings of the passes (``planner.firings``), which are not broken off.

Index letters as in ``planner.moves``; W ways in which microbatches wait.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.crossings import Crossed, crossing_ps
from planner.firings import Lanes
from planner.groups import Groups
from planner.moves import Moves

MOST_MOVES = 2000
"""Of all buckets; with more of them what lanes do in sum tells enough."""

ROUNDS = 4
"""With more of them bounds hardly grow."""

FARTHEST = 2**62
"""Times of all lanes in all ways, one after the other, are less."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LateMoves:
    """The moves of an algorithm, by size of the bucket."""

    moves: Moves
    crossed: Crossed
    width: Ints
    head_ps: Ints
    idle_ps: Ints
    duration_ps: Ints
    tail_ps: Ints
    """(T, N) elements moved; earliest start, if the bucket is whole at 0; the part of a duration in
    which no byte moves; what follows the end."""
    update_ps: Ints
    """(N,) as in ``Moves.times``."""
    known: dict[int, "LateMoves"] = field(default_factory=dict, repr=False)
    """By landing slots, as far as anybody asked."""

    def landing(self, slots: int) -> "LateMoves":
        """Return the same where so many arrivals may wait to be added."""
        if slots not in self.known:
            moves, head, tail = self.moves.landing(slots), self.head_ps, self.tail_ps
            if moves is not self.moves:
                times = moves.times(self.duration_ps, self.update_ps)
                head, tail = map(np.maximum, times, (head, tail))
            self.known[slots] = replace(self, moves=moves, head_ps=head, tail_ps=tail)
        return self.known[slots]

    def late_ps(
        self, columns: Sequence[int], ready_ps: Ints, firings: Sequence[Ints], updates_ps: int
    ) -> Ints:
        """Return what a step takes at least, (W,); 0 where nothing is told.

        Parameters
        ----------
        columns
            Of the sizes of the buckets.
        ready_ps : int array, shape (W, B)
            When each bucket is whole.
        firings
            By way: ``planner.firings.firings_ps``.
        updates_ps
            All updates of a rank.
        """
        if self.moves.count * len(columns) > MOST_MOVES:
            return np.zeros(len(ready_ps), dtype=np.int64)
        head = self.starts_ps(columns, ready_ps, firings, updates_ps).transpose(2, 0, 1)
        most = [of.reshape(len(ready_ps), -1).max(axis=1) for of in self._busy(columns, head)]
        found: Ints = np.maximum.reduce(most)
        return found

    def starts_ps(
        self, columns: Sequence[int], ready_ps: Ints, firings: Sequence[Ints], updates_ps: int
    ) -> Ints:
        """Return the earliest start of every move, (T, B, W)."""
        moves, head = self.moves, self.head_ps[:, columns, None] + ready_ps.T
        apart_ps = 1 + int(head.max()) + max(int(of.max(initial=0)) for of in firings)
        seats = len(firings) * moves.ranks
        far = apart_ps > FARTHEST // seats
        if far and len(firings) > 1:
            ways = zip(ready_ps[:, None], firings, strict=True)
            each = [self.starts_ps(columns, own, [of], updates_ps) for own, of in ways]
            return np.concatenate(each, axis=2)
        if far or not any(of.size for of in firings):
            return head
        is_add = np.zeros(moves.count, dtype=np.bool_)
        is_add[moves.adds] = True
        duration = self.duration_ps[:, columns]
        after = self._after_ps[:, columns]
        for _ in range(ROUNDS):
            known, lanes = head.copy(), self._lanes(head, duration, firings, updates_ps, apart_ps)
            for some, before in moves.levels:
                ended = before.reduce(np.maximum, head + duration[..., None])
                head[some] = np.maximum(head[some], ended)
                added = some[is_add[some]]
                if len(added):
                    head[added] = lanes.put_off(moves.src[added], head[added], after[added])
            if (head == known).all():
                break
        return head

    @cached_property
    def _after_ps(self) -> Ints:
        """(T, N) of additions: what those of their rank take that come before, in their order."""
        found, moves = np.zeros_like(self.duration_ps), self.moves
        for place in range(len(moves.by_adder.keys)):
            rows = moves.adds[moves.by_adder.rows(place)]
            found[rows[1:]] = np.cumsum(self.duration_ps[rows[:-1]], axis=0)
        return found

    def _lanes(
        self, head: Ints, duration: Ints, firings: Sequence[Ints], updates_ps: int, apart_ps: int
    ) -> Lanes:
        """Return what the lanes that compute do, if no move begins earlier than ``head``."""
        adds = self.moves.adds
        ended = [(head[t] + duration[t][..., None]).max(axis=0) for t in self.moves.last]
        updated = np.minimum.reduce(ended).min(axis=0)
        added = self.moves.src[adds], head[adds], duration[adds]
        return Lanes.of(firings, apart_ps, added, (updated, updates_ps))

    def _busy(self, columns: Sequence[int], head: Ints) -> Iterator[Ints]:
        """Yield the longest chains, and what lanes and links have to do, (W, ...)."""
        yield head + self.duration_ps[:, columns] + self.tail_ps[:, columns]
        yield from self._of_lanes(columns, head)
        if len(columns) > 1:  # what follows a bucket grows with its size
            smallest = int(self.width[:, columns].sum(axis=0).argmin())
            others = [*columns[:smallest], *columns[smallest + 1 :]]
            yield from self._of_lanes(others, np.delete(head, smallest, axis=2))

    def _of_lanes(self, columns: Sequence[int], head: Ints) -> Iterator[Ints]:
        """Yield what lanes and links have to do of some buckets, (W, ...)."""
        moves = self.moves
        duration, tail = self.duration_ps[:, columns], self.tail_ps[:, columns]
        lanes = (
            (moves.by_src, moves.sends),
            (moves.by_dst, moves.sends),
            (moves.by_adder, moves.adds),
        )
        for groups, some in lanes:
            for rows in _of_one_length(groups, some):
                yield left_ps(head[:, rows], duration[rows], tail[rows])
        payload = self.width[:, columns] * self.crossed.item_bytes
        begun = head + self.idle_ps[:, columns]
        for rows, rates in self._crossings:
            yield left_ps(begun[:, rows], payload[rows], tail[rows], rates)

    @cached_property
    def _crossings(self) -> list[tuple[Ints, Floats]]:
        """Transfers that cross links, (links, transfers), and rates: of links crossed as often."""
        found: dict[int, list[tuple[Ints, float]]] = {}
        for link, rate in enumerate(self.crossed.rate.tolist()):
            rows = self.crossed.moves_of(self.moves, link)
            found.setdefault(len(rows), []).append((rows, rate))
        return [
            (np.array([rows for rows, _ in some]), np.array([rate for _, rate in some])[:, None])
            for some in found.values()
        ]


def _of_one_length(groups: Groups, some: Ints) -> Iterator[Ints]:
    """Yield the rows of groups that are as long, (groups, length)."""
    for length in np.unique(groups.sizes).tolist():
        starts = groups.starts[groups.sizes == length]
        yield some[groups.order[starts[:, None] + np.arange(length)]]


def left_ps(head: Ints, work: Ints, tail: Ints, bytes_per_s: Floats | None = None) -> Ints:
    """Return, from each move on: when it begins, all later ones, the least that follows any.

    Parameters
    ----------
    head : int array, shape (W, lanes, T, B)
    work, tail : int arrays, each (lanes, T, B)
        Work is in bytes, for links of these rates, (lanes, 1).
    """
    ways, lanes = head.shape[:2]
    head, lane = head.reshape(ways, lanes, -1), np.arange(lanes)[:, None]
    latest = np.argsort(-head, axis=-1, kind="stable")
    left = np.cumsum(work.reshape(lanes, -1)[lane, latest], axis=-1)
    left = left if bytes_per_s is None else crossing_ps(left, bytes_per_s)
    begun = head[np.arange(ways)[:, None, None], lane, latest]
    found: Ints = begun + left + tail.reshape(lanes, -1).min(axis=-1, keepdims=True)
    return found

"""Moves that cannot begin before some time, whatever was done of all others.

A lane, or a link, that takes what is there first has still to do, at any time, all its moves that
could not begin before: of all buckets, and each bucket's late ones. So a step takes at least, for
any lane and time: the time, these moves, and the least that follows one of them (the bound of one
machine with heads and tails; Carlier, European J. Operational Research 11, 1982).

No firing of the passes is broken off. While gradients become whole, the lane that computes is never
idle, so the firing that follows another one begins when that is over, or as much later as the lane
adds and updates at most in a step. What comes in between is added when the firing is over.

Index letters as in ``planner.moves``; W ways in which microbatches wait, F firings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.crossings import Crossed, crossing_ps
from planner.groups import Groups
from planner.moves import Moves
from planner.rounds import PassTimes, Rounds

MOST_MOVES = 2000
"""Of all buckets; with more of them what lanes do in sum tells enough."""

ROUNDS = 4
"""What begins later leaves less that may put a firing off, in so many turns."""

FARTHEST = 2**62
"""Times are less."""

NO_FIRINGS = np.zeros((2, 0), dtype=np.int64)


def firings_ps(passes: Sequence[PassTimes], rounds: Rounds) -> Ints:
    """Return when each firing of the last microbatch begins and ends on an idle lane, (2, F).

    None is told where several kinds of devices compute, where the lane has more to do, or where two
    microbatches may be under way.
    """
    if len(passes) > 1 or rounds.holds or not rounds.input_slots or rounds.frames > 1:
        return NO_FIRINGS
    (one,) = passes
    end = one.end_ps(rounds, np.arange(len(one.until_ps)))
    own = one.until_ps + (one.added_ps if rounds.count > 1 else 0)
    return np.stack([end - np.diff(own, prepend=0), end])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Firings:
    """Firings of W ways, one after the other; times of a way are less than ``apart_ps``."""

    begin_ps: Ints
    end_ps: Ints
    way: Ints
    apart_ps: int

    @classmethod
    def of(cls, firings: Sequence[Ints], apart_ps: int) -> "_Firings":
        """Put them one after the other."""
        begin, end = np.concatenate(firings, axis=1)
        way = np.repeat(np.arange(len(firings)), [of.shape[1] for of in firings])
        return cls(begin_ps=begin, end_ps=end, way=way, apart_ps=apart_ps)

    def take(self, late_ps: Ints) -> "_Firings":
        """Return when they surely hold the lane, if each begins by so much later at most."""
        begin = self.begin_ps + late_ps
        some = begin < self.end_ps
        return replace(self, begin_ps=begin[some], end_ps=self.end_ps[some], way=self.way[some])

    def put_off(self, start_ps: Ints) -> Ints:
        """Return when additions begin that could at these times, (additions, B, W)."""
        if not len(self.way):
            return start_ps
        shift, own = np.arange(start_ps.shape[-1]) * self.apart_ps, self.way * self.apart_ps
        at = start_ps + shift
        place = np.searchsorted(self.begin_ps + own, at, side="left") - 1
        until = np.where(place < 0, 0, (self.end_ps + own)[place])
        found: Ints = np.maximum(at, until) - shift
        return found

    def done_before(self, begun_ps: Ints, work_ps: Ints) -> Ints:
        """Return how much of some work of each lane begins before each of them ends, (lanes, F).

        ``begun_ps`` is (lanes, n, W), ``work_ps`` (lanes, n).
        """
        lanes, count, ways = begun_ps.shape
        order = np.argsort(begun_ps, axis=1)
        lane = np.arange(lanes)[:, None, None]
        work = np.cumsum(work_ps[lane, order], axis=1).transpose(0, 2, 1).reshape(-1)
        at = np.arange(lanes)[:, None] * ways + np.arange(ways)
        begun = (
            begun_ps[lane, order, np.arange(ways)].transpose(0, 2, 1)
            + at[..., None] * self.apart_ps
        )
        first = np.arange(lanes)[:, None] * ways + self.way
        asked = self.end_ps + first * self.apart_ps
        place = np.searchsorted(begun.reshape(-1), asked, side="left")
        found: Ints = np.where(place > first * count, work[place - 1], 0)
        return found


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
            By way: ``firings_ps``.
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
        head, adds = self.head_ps[:, columns, None] + ready_ps.T, self.moves.adds
        is_add = np.zeros(self.moves.count, dtype=np.bool_)
        is_add[adds] = True
        duration = self.duration_ps[:, columns, None]
        apart_ps = 1 + int(head.max()) + max(int(of.max(initial=0)) for of in firings)
        if apart_ps > FARTHEST // (len(firings) * self.moves.ranks):
            return head
        every = _Firings.of(firings, apart_ps)
        for _ in range(ROUNDS):
            held = every.take(self._slack_ps(head, columns, every, updates_ps))
            if (held.put_off(head[adds]) == head[adds]).all():
                break
            for some, before in self.moves.levels:
                ended = before.reduce(np.maximum, head + duration)
                head[some] = np.maximum(head[some], ended)
                added = some[is_add[some]]
                if len(added):
                    head[added] = held.put_off(head[added])
        return head

    def _slack_ps(
        self, head: Ints, columns: Sequence[int], firings: _Firings, updates_ps: int
    ) -> Ints:
        """Return by how much firings begin later at most, if no move begins earlier than ``head``.

        That is all that a lane can add and update before a firing ends.
        """
        duration, moves = self.duration_ps[:, columns], self.moves
        ended = [(head[t] + duration[t][..., None]).max(axis=0) for t in moves.last]
        updated = np.minimum.reduce(ended).min(axis=0)
        most = np.zeros_like(firings.end_ps)
        for rows in _of_one_length(moves.by_adder, moves.adds):
            begun = head[rows].reshape(len(rows), -1, head.shape[-1])
            done = firings.done_before(begun, duration[rows].reshape(len(rows), -1))
            most = np.maximum(most, done.max(axis=0))
        slack: Ints = most + updates_ps * (updated[firings.way] < firings.end_ps)
        return slack

    def _busy(self, columns: Sequence[int], head: Ints) -> Iterator[Ints]:
        """Yield the longest chains, and what lanes and links have to do, (W, ...)."""
        moves = self.moves
        duration, tail = self.duration_ps[:, columns], self.tail_ps[:, columns]
        yield head + duration + tail
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
    """Return, from each move on: when it begins, all later ones, the least that follows one.

    Parameters
    ----------
    head : int array, shape (W, lanes, T, B)
    work, tail : int arrays, each (lanes, T, B)
        Work is in bytes, for links of these rates, (lanes, 1).
    """
    ways, lanes = head.shape[:2]
    lane = np.arange(lanes)[:, None]
    work, tail = (array.reshape(lanes, -1) for array in (work, tail))
    longest = np.argsort(-tail, axis=-1, kind="stable")  # first of those that begin together
    head = head.reshape(ways, lanes, -1)[:, lane, longest]
    latest = np.argsort(-head, axis=-1, kind="stable")
    order = longest[lane, latest]
    left = np.cumsum(work[lane, order], axis=-1)
    left = left if bytes_per_s is None else crossing_ps(left, bytes_per_s)
    begun = head[np.arange(ways)[:, None, None], lane, latest]
    found: Ints = begun + left + np.minimum.accumulate(tail[lane, order], axis=-1)
    return found

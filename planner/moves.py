"""The moves of an algorithm as arrays: who waits for whom, who sends to whom, where chunks land.

An algorithm is noted once for each number of ranks; its moves are the same for every size, only
the blocks are wider. Index letters: T moves, N sizes of a bucket, B buckets of a cut.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Ints
from planner.algorithms import algorithm, name_at
from planner.collectives.base import Emit
from planner.emission import script_of
from planner.groups import Groups, Runs

Bools = npt.NDArray[np.bool_]

Level = tuple[Ints, Runs]
"""Moves, and by move those that it waits for, or that wait for it."""


class Lift(Protocol):
    """What holds moves back, beside those that they wait for."""

    def starts(self, level: int, end_ps: Ints) -> None:
        """Raise the earliest ends of moves of a level, (T, N); lower levels are done."""

    def rests(self, level: int, rest_ps: Ints) -> None:
        """Raise how long moves of a backward level and all after them take, (T, N)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Moves:
    """The transfers and additions of an algorithm on so many ranks."""

    ranks: int
    blocks: int
    src: Ints
    dst: Ints
    """(T,) ranks, or their number for a switch; equal for an addition."""
    channels: int
    first: Ints
    end: Ints
    """(T,) blocks."""
    levels: tuple[Level, ...]
    """Forward: moves and those they wait for, level after level."""
    back: tuple[Level, ...]
    """Backward: moves and those that wait for them, from the last level."""
    last: tuple[Ints, ...]
    """By rank: moves after which its copy is final."""
    sends: Ints
    adds: Ints
    """Moves that are transfers, and additions."""
    by_src: Groups
    by_dst: Groups
    by_pair: Groups
    """Of ``sends``, by seat, rank x channels + channel, and by pair, source x (ranks + 1) +
    destination."""
    by_adder: Groups
    """Of ``adds``, by rank."""
    by_landing: Groups
    """Of ``adds``, by where what they add landed: seat."""
    arrived: Ints
    """(adds,) the transfers that they add."""
    pairs: Ints
    pair_of: Ints
    """(P,) pairs; (T,) which of them a move has."""
    spans: Ints
    span_of: Ints
    """(S, 2) first and last block of what is moved; (T,) which of them a move has."""

    @property
    def count(self) -> int:
        """Number of moves."""
        return len(self.src)

    @cached_property
    def first_sends(self) -> Ints:
        """Transfers that wait for no move: every chain begins with one."""
        return unled(self.count, self.levels)

    @cached_property
    def level(self) -> Ints:
        """(T,) place in ``levels``, -1 of what waits for no move."""
        return _places(self.count, self.levels)

    @cached_property
    def back_level(self) -> Ints:
        """(T,) place in ``back``, -1 of what no move waits for."""
        return _places(self.count, self.back)

    @cached_property
    def waiting(self) -> Ints:
        """Moves that wait, once for each move that they wait for."""
        return np.concatenate([np.repeat(some, before.sizes) for some, before in self.levels])

    @cached_property
    def waited(self) -> Ints:
        """The moves that those wait for."""
        return np.concatenate([before.order for _, before in self.levels])

    @cached_property
    def waits_for(self) -> Bools:
        """(T, T) whether a move waits for another one, at once or through others."""
        found = np.eye(self.count, dtype=np.bool_)
        for some, before in self.levels:
            found[some] |= before.reduce(np.logical_or, found)
        np.fill_diagonal(found, val=False)
        return found

    def landing(self, slots: int) -> "Moves":
        """Return the same moves where so many arrivals may wait at a seat: more wait for a slot."""
        seats = (self.by_landing.rows(place) for place in range(len(self.by_landing.keys)))
        later = [(self.arrived[some[slots:]], self.adds[some[:-slots]]) for some in seats]
        waiting, waited = (
            np.concatenate([own, *more])
            for own, more in zip((self.waiting, self.waited), zip(*later, strict=True), strict=True)
        )
        if len(waiting) == len(self.waiting):
            return self
        order = np.lexsort((waited, waiting))
        waiting, waited = waiting[order], waited[order]
        levels, back = levels_of(depth_of(self.count, waiting, waited), waiting, waited)
        return replace(self, levels=levels, back=back)

    def times(
        self, duration_ps: Ints, update_ps: Ints, lift: Lift | None = None
    ) -> tuple[Ints, Ints]:
        """Return the earliest start of every move, and what must follow its end, shape (T, N).

        Parameters
        ----------
        duration_ps : int array, shape (T, N)
        update_ps : int array, shape (N,)
            The update that follows the last moves.
        lift
            What holds moves back, beside those that they wait for.
        """
        end, rest = chain_ends(self.levels, duration_ps, slice(None), lift), duration_ps.copy()
        final = np.zeros(len(rest), dtype=np.bool_)
        final[np.concatenate(self.last)] = True
        rest[final] += update_ps
        for level, (moves, after) in enumerate(self.back):
            followed = after.reduce(np.maximum, rest)
            np.maximum(followed, update_ps, out=followed, where=final[moves, None])
            rest[moves] = duration_ps[moves] + followed
            if lift:
                lift.rests(level, rest)
        return np.subtract(end, duration_ps, out=end), np.subtract(rest, duration_ps, out=rest)


def _places(count: int, levels: Sequence[Level]) -> Ints:
    found = np.full(count, -1, dtype=np.int64)
    for place, (some, _) in enumerate(levels):
        found[some] = place
    return found


def chain_ends(
    levels: Sequence[Level], duration_ps: Ints, kind_of: Ints | slice, lift: Lift | None = None
) -> Ints:
    """Return the earliest end of every move, shape (T, N).

    ``duration_ps`` is that of kinds of moves, and ``kind_of`` says which one each move is.
    """
    end: Ints = duration_ps[kind_of].copy()
    for level, (moves, before) in enumerate(levels):
        end[moves] += before.reduce(np.maximum, end)
        if lift:
            lift.starts(level, end)
    return end


def chain_rests(back: Sequence[Level], duration_ps: Ints, kind_of: Ints | slice) -> Ints:
    """Return how long every move and all that must follow it take, updates apart, (T, N)."""
    rest: Ints = duration_ps[kind_of].copy()
    for moves, after in back:
        rest[moves] += after.reduce(np.maximum, rest)
    return rest


@cache
def moves_of(emit: Emit, ranks: int) -> Moves:
    """Return the moves of an algorithm on so many ranks."""
    script = script_of(emit, ranks)
    src, dst, first, end = script.src, script.dst, script.first, script.end
    sends, adds = script.sends, script.adds
    blocks, channels = script.blocks, script.channels
    seat_of = np.array([side * channels + script.channel for side in (src, dst)])
    moves = script.waits >= 0
    waiting, waited = script.waiting[moves], script.waits[moves]
    levels, back = levels_of(depth_of(len(src), waiting, waited), waiting, waited)
    pairs, pair_of = np.unique(script.pairs, return_inverse=True)
    spans, span_of = script.spans
    return Moves(
        ranks=ranks,
        blocks=blocks,
        src=src,
        dst=dst,
        channels=channels,
        first=first,
        end=end,
        levels=levels,
        back=back,
        last=tuple(np.array([t for t in tasks if t >= 0], dtype=np.int64) for tasks in script.last),
        sends=sends,
        adds=adds,
        by_src=Groups.of(seat_of[0, sends]),
        by_dst=Groups.of(seat_of[1, sends]),
        by_pair=Groups.of(script.pairs[sends]),
        by_adder=Groups.of(src[adds]),
        by_landing=Groups.of((src * channels + script.channel)[adds]),
        arrived=script.arrived[adds],
        pairs=pairs,
        pair_of=pair_of,
        spans=spans,
        span_of=span_of,
    )


def unled(count: int, levels: Sequence[Level]) -> Ints:
    """Return which of so many moves wait for no other one."""
    waits = np.zeros(count, dtype=np.bool_)
    for moves, _ in levels:
        waits[moves] = True
    return np.flatnonzero(~waits)


def levels_of(
    depth: Ints, waiting: Ints, waited: Ints
) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """Return moves level after level, forward and backward; ``depth`` is that of all moves."""
    return _by_level(depth, waiting, waited), _by_level(depth, waited, waiting)[::-1]


def depth_of(count: int, waiting: Ints, waited: Ints) -> Ints:
    """Return how long the longest chain before each move is; ``waiting`` ascends."""
    level = [0] * count
    for move, before in zip(waiting.tolist(), waited.tolist(), strict=True):
        level[move] = max(level[move], level[before] + 1)
    return np.array(level, dtype=np.int64)


def _by_level(depth: Ints, moves: Ints, others: Ints) -> tuple[Level, ...]:
    """Return moves and the others of each, for each level of ``moves``."""
    order = np.lexsort((others, moves, depth[moves]))
    moves, others = moves[order], others[order]
    starts = np.flatnonzero(np.diff(moves, prepend=-1))
    distinct = moves[starts]
    cuts = np.flatnonzero(np.diff(depth[distinct], prepend=-1))
    sizes = np.diff(starts, append=len(others))
    least, most = (f.reduceat(sizes, cuts) if len(cuts) else cuts for f in (np.minimum, np.maximum))
    rows = pairwise([*cuts.tolist(), len(distinct)])
    ends = pairwise([*starts[cuts].tolist(), len(others)])
    equal = np.where(least == most, most, 0).tolist()
    return tuple(
        (distinct[first:last], Runs(others[begin:end], starts[first:last] - begin, each))
        for (first, last), (begin, end), each in zip(rows, ends, equal, strict=True)
    )


def by_name(name: str, sizes: Sequence[int]) -> dict[str, list[int]]:
    """Return the sizes that each of the algorithms runs which a name stands for."""
    found: dict[str, list[int]] = {}
    for elements in sizes:
        found.setdefault(name_at(name, elements), []).append(elements)
    return found


def channels_of(names: Iterable[str], ranks: int) -> int:
    """Return the most channels of any of some algorithms."""
    return max((moves_of(algorithm(name).emit, ranks).channels for name in names), default=1)


def block_edges(blocks: int, sizes: Sequence[int]) -> Ints:
    """Return where the blocks of an array of each size begin and end, shape (blocks + 1, N)."""
    return np.arange(blocks + 1)[:, None] * np.array(sizes, dtype=np.int64) // blocks

"""The moves of a few ranks that stand for all others, as the fabric treats those like them.

Index letters as in ``planner.moves``; K ranks that stand for others, P pairs of ranks, S spans of
blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.folded_exchange import Orbit
from planner.folded_script import emitted_fold, symmetry
from planner.moves import Groups, Level, chain_times, levels_of, unled

FOLD_FROM_RANKS = 17
"""Ranks from which on a few may stand for others: every block is then as wide as the narrowest, and
every pair as quick as the quickest that it stands for."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedMoves:
    """The transfers and additions of an algorithm, each for its orbit."""

    seats: int
    """Ranks that stand for all, K."""
    channels: int
    """Lanes to send and to receive of each rank."""
    blocks: int
    src: Ints
    dst: Ints
    """(T,) places among the ranks that stand for all; equal for an addition."""
    channel: Ints
    levels: tuple[Level, ...]
    """Forward, level after level: what each move waits for."""
    back: tuple[Level, ...]
    """Backward, from the last level: what waits for each move."""
    last: tuple[Ints, ...]
    """By rank that stands for others: moves after which its copy is final."""
    sends: Ints
    adds: Ints
    """Moves that are transfers, and additions."""
    pair_of: Ints
    """(T,) which pair of ranks a move has."""
    members: tuple[Ints, ...]
    """By pair: source and destination of all pairs that it stands for, shape (order, 2)."""
    spans: Ints
    """(S, 2) first and last block of what is moved."""
    span_of: Ints
    """(T,) which span a move has."""

    @cached_property
    def first_sends(self) -> Ints:
        """Transfers that wait for no move: every chain begins with one."""
        return unled(len(self.src), self.levels)

    @cached_property
    def by_src(self) -> Groups:
        """Transfers by the seat that sends: rank x channels + channel."""
        return Groups.of((self.src * self.channels + self.channel)[self.sends])

    @cached_property
    def by_dst(self) -> Groups:
        """Transfers by the seat that receives."""
        return Groups.of((self.dst * self.channels + self.channel)[self.sends])

    @cached_property
    def by_adder(self) -> Groups:
        """Additions by rank."""
        return Groups.of(self.src[self.adds])

    @cached_property
    def by_pair(self) -> Groups:
        """Transfers by pair."""
        return Groups.of(self.pair_of[self.sends])

    def widths(self, sizes: Sequence[int]) -> Ints:
        """Return how many elements each span has in a bucket of each size, shape (S, N).

        Blocks are as wide as the narrowest.
        """
        found: Ints = (self.spans[:, 1] - self.spans[:, 0])[:, None] * (
            np.array(sizes, dtype=np.int64) // self.blocks
        )
        return found

    def times(self, duration_ps: Ints, update_ps: Ints) -> tuple[Ints, Ints]:
        """Return the earliest start of every move, and what must follow its end, shape (T, N)."""
        return chain_times(self.levels, self.back, self.last, duration_ps, update_ps)


@cache
def folded_moves(name: str, ranks: int, kept: tuple[int, ...]) -> FoldedMoves:
    """Return the moves of the ranks that ``kept`` leaves of the digits of all others."""
    found = emitted_fold(name, ranks, kept)
    fold, orbits = found.fold, found.orbits
    seat = {rank: place for place, rank in enumerate(fold.ranks())}
    ends = [[seat[fold.home(rank)[0]] for rank in (o.src, o.dst)] for o in orbits]
    pairs: dict[tuple[int, int], int] = {}
    pair_of = [pairs.setdefault(found.exchange.way(o)[:2], len(pairs)) for o in orbits]
    src, dst = np.array(ends, dtype=np.int64).T
    after = [sorted({token // fold.order for token in o.after} | _arrived(o)) for o in orbits]
    adds = np.array([o.arrived >= 0 for o in orbits])
    waiting = np.repeat(np.arange(len(after)), [len(waits) for waits in after])
    waited = np.array([task for waits in after for task in waits], dtype=np.int64)
    levels, back = levels_of(len(after), waiting, waited)
    first, end = np.array(found.spans, dtype=np.int64).T
    distinct, span_of = np.unique(first * (fold.block_count + 1) + end, return_inverse=True)
    channel = np.array([orbit.channel for orbit in orbits], dtype=np.int64)
    return FoldedMoves(
        seats=len(seat),
        channels=int(channel.max()) + 1,
        blocks=fold.block_count,
        src=src,
        dst=dst,
        channel=channel,
        levels=levels,
        back=back,
        last=tuple(np.array(tasks, dtype=np.int64) for tasks in found.last),
        sends=np.flatnonzero(~adds),
        adds=np.flatnonzero(adds),
        pair_of=np.array(pair_of, dtype=np.int64),
        members=tuple(np.stack([fold.members(a), fold.members(b)], axis=1) for a, b in pairs),
        spans=np.stack(np.divmod(distinct, fold.block_count + 1), axis=1),
        span_of=span_of,
    )


def _arrived(orbit: Orbit) -> set[int]:
    return {orbit.arrived} if orbit.arrived >= 0 else set()


def fitting_moves(name: str, ranks: int, rates: Callable[[Ints], Floats]) -> FoldedMoves | None:
    """Return the moves of the fewest ranks that stand for others with pairs as fast as theirs.

    ``rates`` gives, for pairs of ranks of shape (n, 2), what tells fast ones from slow ones. None
    where ranks are few or nobody stands for another.
    """
    found = symmetry(name, ranks) if ranks >= FOLD_FROM_RANKS else None
    if found is None:
        return None
    members = _members(name, ranks)
    pairs = np.concatenate(members)
    rate, pair = rates(pairs), np.repeat(np.arange(len(members)), ranks)
    for kept in found.choices():
        key = pair * ranks + _homes(name, ranks, kept)[pairs[:, 0]]
        groups = Groups.of(key)
        least, most = (groups.reduce(f, rate[:, None]) for f in (np.minimum, np.maximum))
        if (least == most).all():
            return folded_moves(name, ranks, kept)
    return None


@cache
def _members(name: str, ranks: int) -> tuple[Ints, ...]:
    """Return the pairs of ranks by what turns one into another, each of shape (ranks, 2)."""
    found = symmetry(name, ranks)
    assert found is not None, "only what is alike folds"
    folded = emitted_fold(name, ranks, (1,) * len(found.sizes))
    ways = dict.fromkeys(folded.exchange.way(orbit)[:2] for orbit in folded.orbits)
    fold = folded.fold
    return tuple(np.stack([fold.members(a), fold.members(b)], axis=1) for a, b in ways)


@cache
def _homes(name: str, ranks: int, kept: tuple[int, ...]) -> Ints:
    """Return by rank the one that stands for it."""
    found = symmetry(name, ranks)
    assert found is not None, "only what is alike folds"
    fold = replace(found, kept=kept)
    return np.array([fold.home(rank)[0] for rank in range(ranks)], dtype=np.int64)

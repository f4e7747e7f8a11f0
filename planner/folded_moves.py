"""The moves of a few ranks that stand for all others, as the fabric treats those like them.

Index letters as in ``planner.moves``; K ranks that stand for others, P pairs of ranks, S spans of
blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from hwprofiles.units import Floats, Ints
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Tasks
from planner.folded_exchange import Orbit
from planner.folded_script import emitted_fold, symmetry
from planner.groups import Groups
from planner.moves import Bools, Level, chain_ends, chain_rests, depth_of, levels_of, unled

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
    out: Ints
    into: Ints
    """(T,) channel of a transfer at the ranks that stand for its source and its destination."""
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
    def kinds(self) -> "Kinds":
        """Moves of a kind are those of one pair, on one channel at each end, of as many blocks."""
        first, adds = np.zeros((2, len(self.src)), dtype=np.int64)
        first[unled(len(self.src), self.levels)] = 1
        adds[self.adds] = 1
        blocks = (self.spans[:, 1] - self.spans[:, 0])[self.span_of]
        columns = (self.pair_of, self.src, self.dst, self.out, self.into, blocks, first, adds)
        key = np.ravel_multi_index(columns, [int(column.max()) + 1 for column in columns])
        alike = Groups.of(key)
        one = alike.order[alike.starts]
        pair, src, dst, out, into, blocks, first, adds = (column[one] for column in columns)
        return Kinds(
            alike=alike,
            of=np.searchsorted(alike.keys, key),
            pair=pair,
            src=src,
            dst=dst,
            out=out,
            into=into,
            blocks=blocks,
            leads=first > 0,
            sends=np.flatnonzero(adds == 0),
            adds=np.flatnonzero(adds),
        )

    @cached_property
    def sending(self) -> Ints:
        """Pairs of ranks that send, ascending."""
        return np.unique(self.pair_of[self.sends])

    def times(self, duration_ps: Ints) -> tuple[Ints, Ints]:
        """Return the earliest end of every move, and what it and all after it take, (T, N).

        ``duration_ps`` is that of ``kinds``; updates are not counted.
        """
        of = self.kinds.of
        return chain_ends(self.levels, duration_ps, of), chain_rests(self.back, duration_ps, of)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Kinds:
    """Moves that take as long as each other, whatever the size; G kinds."""

    alike: Groups
    """Moves by kind."""
    of: Ints
    """(T,) the kind of a move."""
    pair: Ints
    src: Ints
    dst: Ints
    out: Ints
    into: Ints
    """(G,) as of moves."""
    blocks: Ints
    """(G,) how many are moved."""
    leads: Bools
    """(G,) whether it waits for no move: every chain begins with one."""
    sends: Ints
    adds: Ints
    """Kinds that are transfers, and additions."""


@cache
def folded_moves(name: str, ranks: int, kept: tuple[int, ...]) -> FoldedMoves:
    """Return the moves of the ranks that ``kept`` leaves of the digits of all others.

    They are the moves of one rank, turned to each of those: move t of its k-th rank is t K + k.
    """
    found = emitted_fold(name, ranks)
    orbits, turned = found.orbits, _Turned(replace(found.fold, kept=kept), found.fold)
    known, which = np.unique([(o.src, o.dst) for o in orbits], return_inverse=True)
    ends = np.array([turned.rank(rank) for rank in known.tolist()])[which.reshape(-1, 2)]
    src, dst = ends.swapaxes(0, 1).reshape(2, -1)
    distinct, pair_of = np.unique(src * ranks + dst, return_inverse=True)
    pairs: dict[tuple[int, int], int] = {}
    ways = (turned.way(*divmod(pair, ranks)) for pair in distinct.tolist())
    number = np.array([pairs.setdefault(way, len(pairs)) for way in ways], dtype=np.int64)
    after = [(*o.after, *_arrived(o, ranks)) for o in orbits]
    waiting = np.repeat(np.arange(len(orbits)), [len(tokens) for tokens in after])
    tokens = np.array([token for some in after for token in some], dtype=np.int64)
    depth = depth_of(len(orbits), waiting, tokens // ranks)
    each = len(turned.chosen)
    waits = (waiting[:, None] * each + np.arange(each), turned.moves(tokens))
    levels, back = levels_of(np.repeat(depth, each), *(array.reshape(-1) for array in waits))
    adds = np.repeat([orbit.arrived >= 0 for orbit in orbits], each)
    first, end = np.array(found.spans, dtype=np.int64).T
    distinct, span_of = np.unique(first * (turned.one.block_count + 1) + end, return_inverse=True)
    out, into = turned.channels(orbits, ends)
    return FoldedMoves(
        seats=each,
        channels=int(out.max()) + 1,
        blocks=turned.one.block_count,
        src=turned.seat_of[src],
        dst=turned.seat_of[dst],
        out=out,
        into=into,
        levels=levels,
        back=back,
        last=tuple(np.unique(of_rank) for of_rank in turned.moves(np.array(found.last)).T),
        sends=np.flatnonzero(~adds),
        adds=np.flatnonzero(adds),
        pair_of=number[pair_of],
        members=tuple(turned.members(*pair) for pair in pairs),
        spans=np.stack(np.divmod(distinct, turned.one.block_count + 1), axis=1),
        span_of=np.repeat(span_of, each),
    )


def _arrived(orbit: Orbit, ranks: int) -> Tasks:
    """Return the token of what an addition adds."""
    return (orbit.arrived * ranks,) if orbit.arrived >= 0 else ()


class _Turned:
    """Where the moves of rank 0 lead that are turned to the ranks that stand for others."""

    def __init__(self, fold: Symmetry, one: Symmetry) -> None:
        self.fold, self.one = fold, one
        self.chosen = np.array(fold.ranks(), dtype=np.int64)
        homes = [fold.home(rank)[0] for rank in range(one.order)]
        self.seat_of = np.searchsorted(self.chosen, homes)

    def rank(self, rank: int) -> Ints:
        """Return what ``rank`` of a move of rank 0 is to each of them, (K,)."""
        turned: Ints = self.one.members(rank)[self.chosen]
        return turned

    def channels(self, orbits: Sequence[Orbit], ends: Ints) -> tuple[Ints, Ints]:
        """Return of both ends, (orbits, 2, K), the channel at the rank that stands for each."""
        own = np.array([self.one.channel_members(o.channel)[self.chosen] for o in orbits])
        found = np.repeat(own[:, None], 2, axis=1)
        if self.fold.channels:
            homes = zip(found.flat, ends.flat, strict=True)
            back = [self.fold.channel_home(int(c), self.fold.home(int(r))[1]) for c, r in homes]
            found = np.array(back, dtype=np.int64).reshape(found.shape)
        out, into = found.swapaxes(0, 1).reshape(2, -1)
        return out, into

    def moves(self, tokens: Ints) -> Ints:
        """Return the moves for which tokens of rank 0 stand to each of them, (tokens, K)."""
        task, place = np.divmod(tokens, self.one.order)
        places, which = np.unique(place, return_inverse=True)
        seats = [self.seat_of[self.one.places(at)[self.chosen]] for at in places.tolist()]
        turned: Ints = np.array(seats, dtype=np.int64).reshape(-1, len(self.chosen))[which]
        turned += task[:, None] * len(self.chosen)
        return turned

    def way(self, src: int, dst: int) -> tuple[int, int]:
        """Return a pair as its source sees it that stands for others."""
        home, turn = self.fold.home(src)
        return home, self.fold.rank_turned_back(dst, turn)

    def members(self, src: int, dst: int) -> Ints:
        """Return all pairs that one stands for, (order, 2)."""
        return np.stack([self.fold.members(src), self.fold.members(dst)], axis=1)


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
    found = emitted_fold(name, ranks)
    turned = _Turned(found.fold, found.fold)
    ways = dict.fromkeys(turned.way(orbit.src, orbit.dst) for orbit in found.orbits)
    return tuple(turned.members(*way) for way in ways)


@cache
def _homes(name: str, ranks: int, kept: tuple[int, ...]) -> Ints:
    """Return by rank the one that stands for it."""
    found = symmetry(name, ranks)
    assert found is not None, "only what is alike folds"
    fold = replace(found, kept=kept)
    return np.array([fold.home(rank)[0] for rank in range(ranks)], dtype=np.int64)

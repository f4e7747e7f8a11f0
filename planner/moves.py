"""The moves of an algorithm as arrays: who waits for whom, who sends to whom, where chunks land.

Moves are those of all ranks, or of a few that stand for all where the fabric treats the others as
it treats them. Index letters: T moves, N sizes of a bucket, K ranks that stand for all, P pairs of
ranks, S spans of blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hwprofiles.units import Floats, Ints
from planner.emitted import emitted, emitted_fold, symmetry
from planner.folded_exchange import Orbit

FOLD_FROM_RANKS = 17
"""Ranks from which on a few may stand for others: every block is then as wide as the narrowest, and
every pair as quick as the quickest that it stands for."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Rows gathered by a key: ``reduce`` over each group is one call of a ufunc."""

    order: Ints
    starts: Ints
    keys: Ints

    @classmethod
    def of(cls, keys: Ints) -> "Groups":
        """Group positions by equal key."""
        order = np.argsort(keys, kind="stable")
        distinct, starts = np.unique(keys[order], return_index=True)
        return cls(order, starts, distinct)

    def reduce(self, ufunc: np.ufunc, values: Any) -> Any:
        """Return ``ufunc`` over the rows of each key, (rows, N) to (keys, N)."""
        if not len(self.order):
            return values[:0]
        return ufunc.reduceat(values[self.order], self.starts, axis=0)

    def by_key(self, ufunc: np.ufunc, values: Ints, size: int, empty: int) -> Ints:
        """Return the same for keys 0 .. size - 1, ``empty`` where there is none."""
        found = np.full((size, values.shape[1]), empty, dtype=np.int64)
        found[self.keys] = self.reduce(ufunc, values)
        return found


Level = tuple[Ints, Ints, Ints]
"""Moves, the others that they wait for or that wait for them, and where each move's begin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Moves:
    """The transfers and additions of an algorithm on so many ranks."""

    ranks: int
    seats: int
    """Ranks that stand for all, K."""
    blocks: int
    src: Ints
    dst: Ints
    """(T,) places among the ranks that stand for all; equal for an addition."""
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

    @property
    def folded(self) -> bool:
        """Whether a few ranks stand for all."""
        return self.seats < self.ranks

    @cached_property
    def by_src(self) -> Groups:
        """Transfers by the rank that sends."""
        return Groups.of(self.src[self.sends])

    @cached_property
    def by_dst(self) -> Groups:
        """Transfers by the rank that receives."""
        return Groups.of(self.dst[self.sends])

    @cached_property
    def by_adder(self) -> Groups:
        """Additions by rank."""
        return Groups.of(self.src[self.adds])

    @cached_property
    def by_pair(self) -> Groups:
        """Transfers by pair."""
        return Groups.of(self.pair_of[self.sends])

    def widths(self, sizes: Sequence[int]) -> Ints:
        """Return how many elements each span has in a bucket of each size, shape (S, N)."""
        first, end = self.spans.T
        if self.folded:
            narrowest = np.array(sizes, dtype=np.int64) // self.blocks
            found: Ints = (end - first)[:, None] * narrowest
            return found
        return span_widths(block_edges(self.blocks, sizes), first, end)

    def times(self, duration_ps: Ints, update_ps: Ints) -> tuple[Ints, Ints]:
        """Return the earliest start of every move, and what must follow its end, shape (T, N).

        Parameters
        ----------
        duration_ps : int array, shape (T, N)
        update_ps : int array, shape (N,)
            The update that follows the last moves.
        """
        head, tail = np.zeros_like(duration_ps), np.zeros_like(duration_ps)
        for moves, before, starts in self.levels:
            head[moves] = np.maximum.reduceat(head[before] + duration_ps[before], starts, axis=0)
        tail[np.concatenate(self.last)] = update_ps
        for moves, after, starts in self.back:
            rest = np.maximum.reduceat(tail[after] + duration_ps[after], starts, axis=0)
            tail[moves] = np.maximum(tail[moves], rest)
        return head, tail


@cache
def moves_of(name: str, ranks: int) -> Moves:
    """Return the moves of an algorithm on so many ranks, all of them."""
    found = emitted(name, ranks)
    rows = np.array([(m.src, m.dst, m.first, m.end) for m in found.moves], dtype=np.int64)
    src, dst, first, end = rows.reshape(-1, 4).T
    pairs, pair_of = np.unique(src * ranks + dst, return_inverse=True)
    members = np.stack(np.divmod(pairs, ranks), axis=1)[:, None]
    return _moves(
        ranks=ranks,
        seats=ranks,
        blocks=found.blocks,
        ends=(src, dst),
        adds=np.array([m.adds for m in found.moves], dtype=bool),
        after=[[task for task in m.after if task >= 0] for m in found.moves],
        last=found.last,
        pair_of=pair_of,
        members=tuple(members),
        spans=(first, end),
    )


@cache
def folded_moves(name: str, ranks: int, kept: tuple[int, ...]) -> Moves:
    """Return the moves of the ranks that ``kept`` leaves of the digits of all others."""
    found = emitted_fold(name, ranks, kept)
    fold, orbits = found.fold, found.orbits
    seat = {rank: place for place, rank in enumerate(fold.ranks())}
    ends = [[seat[fold.home(rank)[0]] for rank in (o.src, o.dst)] for o in orbits]
    pairs: dict[tuple[int, int], int] = {}
    pair_of = [pairs.setdefault(found.exchange.way(o)[:2], len(pairs)) for o in orbits]
    src, dst = np.array(ends, dtype=np.int64).T
    return _moves(
        ranks=ranks,
        seats=len(seat),
        blocks=fold.block_count,
        ends=(src, dst),
        adds=np.array([o.arrived >= 0 for o in orbits]),
        after=[sorted({token // fold.order for token in o.after} | _arrived(o)) for o in orbits],
        last=found.last,
        pair_of=np.array(pair_of, dtype=np.int64),
        members=tuple(np.stack([fold.members(a), fold.members(b)], axis=1) for a, b in pairs),
        spans=tuple(np.array(found.spans, dtype=np.int64).T),
    )


def _arrived(orbit: Orbit) -> set[int]:
    return {orbit.arrived} if orbit.arrived >= 0 else set()


def fitting_moves(name: str, ranks: int, rates: Callable[[Ints], Floats]) -> Moves:
    """Return the moves of the fewest ranks that stand for others with pairs as fast as theirs.

    ``rates`` gives, for pairs of ranks of shape (n, 2), what tells fast ones from slow ones. Where
    ranks are few or not alike, the moves are those of all.
    """
    found = symmetry(name, ranks) if ranks >= FOLD_FROM_RANKS else None
    if found is None:
        return moves_of(name, ranks)
    members = _members(name, ranks)
    pairs = np.concatenate(members)
    rate, pair = rates(pairs), np.repeat(np.arange(len(members)), ranks)
    for kept in found.choices():
        key = pair * ranks + _homes(name, ranks, kept)[pairs[:, 0]]
        groups = Groups.of(key)
        least, most = (groups.reduce(f, rate[:, None]) for f in (np.minimum, np.maximum))
        if (least == most).all():
            return folded_moves(name, ranks, kept)
    return moves_of(name, ranks)


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


def _moves(  # noqa: PLR0913, the columns of moves
    *,
    ranks: int,
    seats: int,
    blocks: int,
    ends: tuple[Ints, Ints],
    adds: npt.NDArray[np.bool_],
    after: Sequence[Sequence[int]],
    last: Sequence[Sequence[int]],
    pair_of: Ints,
    members: tuple[Ints, ...],
    spans: tuple[Ints, Ints],
) -> Moves:
    """Put moves in levels, and what they have in common together."""
    level: list[int] = []
    for waits in after:
        level.append(1 + max((level[task] for task in waits), default=-1))
    waiting = np.repeat(np.arange(len(after)), [len(waits) for waits in after])
    waited = np.array([task for waits in after for task in waits], dtype=np.int64)
    depth = np.array(level, dtype=np.int64)
    first, end = spans
    distinct, span_of = np.unique(first * (blocks + 1) + end, return_inverse=True)
    return Moves(
        ranks=ranks,
        seats=seats,
        blocks=blocks,
        src=ends[0],
        dst=ends[1],
        levels=_by_level(depth, waiting, waited),
        back=_by_level(depth, waited, waiting)[::-1],
        last=tuple(np.array(tasks, dtype=np.int64) for tasks in last),
        sends=np.flatnonzero(~adds),
        adds=np.flatnonzero(adds),
        pair_of=pair_of,
        members=members,
        spans=np.stack(np.divmod(distinct, blocks + 1), axis=1),
        span_of=span_of,
    )


def _by_level(depth: Ints, moves: Ints, others: Ints) -> tuple[Level, ...]:
    """Return (moves, their others, where each move's others begin) for each level of ``moves``."""
    order = np.lexsort((others, moves, depth[moves]))
    moves, others = moves[order], others[order]
    cuts = np.flatnonzero(np.diff(depth[moves])) + 1
    found = []
    for some, their in zip(np.split(moves, cuts), np.split(others, cuts), strict=True):
        if len(some):
            distinct, starts = np.unique(some, return_index=True)
            found.append((distinct, their, starts))
    return tuple(found)


def block_edges(blocks: int, sizes: Sequence[int]) -> Ints:
    """Return where the blocks of an array of each size begin and end, shape (blocks + 1, N)."""
    return np.arange(blocks + 1)[:, None] * np.array(sizes, dtype=np.int64) // blocks


def span_widths(edges: Ints, first: Ints, end: Ints) -> Ints:
    """Return the elements of spans of blocks, given as ``block_edges``, shape (S, N)."""
    found: Ints = edges[end] - edges[first]
    return found

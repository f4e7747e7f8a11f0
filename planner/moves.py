"""The moves of an algorithm as arrays: who waits for whom, who sends to whom, where chunks land.

An algorithm is emitted once for each number of ranks; its moves are the same for every size, only
the blocks are wider. Index letters: T moves, N sizes of a bucket, B buckets of a cut.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from hwprofiles.units import Ints
from planner.collectives.base import (
    Emit,
    Span,
    Spans,
    Tasks,
    algorithm,
    algorithm_names,
    chunk_spans,
    name_at,
    turns,
)

ELEMENTS = 10_000_019
"""Size at which an algorithm is emitted: all its blocks differ in where they begin."""


@dataclass(slots=True)
class _Notes:
    """An exchange that notes its moves, with what each waits for (see ``BucketExchange``).

    A switch that adds is one rank more, with lanes for all.
    """

    ranks: int
    elements: int = ELEMENTS
    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    """(source, destination, first element, end, channel); an addition has the same rank twice."""
    after: list[tuple[int, ...]] = field(default_factory=list)
    landed: dict[tuple[int, int], int] = field(default_factory=dict)
    added: dict[int, int] = field(default_factory=dict)
    fold: None = None

    def send(
        self,
        src: int,
        dst: int,
        span: Span,
        *,
        after: Tasks,
        landing: bool,
        channel: int = 0,
        more: Spans = (),
    ) -> int:
        """Note a transfer; arrivals of one landing register keep their order."""
        assert not more, "a message of a plan is one span"
        deps = after
        if landing:
            before = self.landed.get((dst, channel))
            deps = after if before is None else (*after, before)
            self.landed[dst, channel] = len(self.rows)
        return self._note((src, dst, *span, channel), deps)

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note a transfer from the switch."""
        return self._note((self.ranks, rank, *span, 0), after)

    def spread(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note a transfer to the switch."""
        return self._note((rank, self.ranks, *span, 0), after)

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition; those of one rank keep their order."""
        turn = (self.added[rank],) if rank in self.added else ()
        self.added[rank] = len(self.rows)
        return self._note((rank, rank, *span, self.rows[arrived][4]), (*after, arrived, *turn))

    def _note(self, row: tuple[int, int, int, int, int], after: tuple[int, ...]) -> int:
        self.rows.append(row)
        self.after.append(after)
        return len(self.rows) - 1


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
"""Moves, those that they wait for or that wait for them, and where each move's others begin."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
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
    """Forward: (moves, those they wait for, where each move's begin), level after level."""
    back: tuple[Level, ...]
    """Backward: (moves, those that wait for them, where each move's begin), from the last level."""
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
    by_landing: Groups
    """Of ``adds``, by rank and by seat."""
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

    def times(self, duration_ps: Ints, update_ps: Ints) -> tuple[Ints, Ints]:
        """Return the earliest start of every move, and what must follow its end, shape (T, N).

        Parameters
        ----------
        duration_ps : int array, shape (T, N)
        update_ps : int array, shape (N,)
            The update that follows the last moves.
        """
        return chain_times(self.levels, self.back, self.last, duration_ps, update_ps)


def chain_times(
    levels: Sequence[Level],
    back: Sequence[Level],
    last: Sequence[Ints],
    duration_ps: Ints,
    update_ps: Ints,
) -> tuple[Ints, Ints]:
    """Return the earliest start of every move, and what must follow its end, shape (T, N)."""
    head, tail = np.zeros_like(duration_ps), np.zeros_like(duration_ps)
    for moves, before, starts in levels:
        head[moves] = np.maximum.reduceat(head[before] + duration_ps[before], starts, axis=0)
    tail[np.concatenate(last)] = update_ps
    for moves, after, starts in back:
        rest = np.maximum.reduceat(tail[after] + duration_ps[after], starts, axis=0)
        tail[moves] = np.maximum(tail[moves], rest)
    return head, tail


@cache
def moves_of(emit: Emit, ranks: int) -> Moves:
    """Return the moves of an algorithm on so many ranks."""
    notes = _Notes(ranks)
    last = emit(notes, [()] * ranks)
    rows = np.array(notes.rows, dtype=np.int64).reshape(-1, 5)
    cuts, channel = rows[:, 2:4], rows[:, 4]
    channels = int(channel.max(initial=0)) + 1
    blocks = len(np.unique(cuts)) - 1
    spans = chunk_spans(ELEMENTS, blocks)
    edges = np.array([spans[0][0], *(end for _, end in spans)])
    assert np.isin(cuts, edges).all(), "an algorithm cuts its array by chunk_spans"
    levels, back = levels_of(notes.after)
    src, dst = rows[:, 0], rows[:, 1]
    sends, adds = np.flatnonzero(src != dst), np.flatnonzero(src == dst)
    first, end = np.searchsorted(edges, rows[:, 2]), np.searchsorted(edges, rows[:, 3])
    every_pair = src * (ranks + 1) + dst
    pairs, pair_of = np.unique(every_pair, return_inverse=True)
    spans, span_of = np.unique(first * (blocks + 1) + end, return_inverse=True)
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
        last=tuple(np.array(tasks, dtype=np.int64) for tasks in last),
        sends=sends,
        adds=adds,
        by_src=Groups.of((src * channels + channel)[sends]),
        by_dst=Groups.of((dst * channels + channel)[sends]),
        by_pair=Groups.of(every_pair[sends]),
        by_adder=Groups.of(src[adds]),
        by_landing=Groups.of((src * channels + channel)[adds]),
        pairs=pairs,
        pair_of=pair_of,
        spans=np.stack(np.divmod(spans, blocks + 1), axis=1),
        span_of=span_of,
    )


def levels_of(after: Sequence[Sequence[int]]) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """Return moves level after level, forward and backward, given what each waits for."""
    level: list[int] = []
    for waits in after:
        level.append(1 + max((level[task] for task in waits), default=-1))
    waiting = np.repeat(np.arange(len(after)), [len(waits) for waits in after])
    waited = np.array([task for waits in after for task in waits], dtype=np.int64)
    depth = np.array(level, dtype=np.int64)
    return _by_level(depth, waiting, waited), _by_level(depth, waited, waiting)[::-1]


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


@cache
def distinct_names(ranks: int) -> list[str]:
    """Return the all-reduces that differ on so many ranks; of equal ones the shortest name.

    >>> distinct_names(2)
    ['ring', 'star']
    """
    by_depth: dict[int, list[str]] = {}
    for name in sorted(algorithm_names(), key=lambda name: (len(name), name)):
        by_depth.setdefault(algorithm(name).steps(ranks), []).append(name)
    kept: list[str] = []
    for names in by_depth.values():
        kept += {_program(name, ranks): name for name in reversed(names)}.values()
    return sorted(kept)


def _program(name: str, ranks: int) -> tuple[bytes, ...]:
    """Return what is equal for equal programs."""
    moves = moves_of(algorithm(name).emit, ranks)
    spans = (moves.first * ELEMENTS // moves.blocks, moves.end * ELEMENTS // moves.blocks)
    return tuple(array.tobytes() for array in (moves.src, moves.dst, *spans))


def by_name(name: str, sizes: Sequence[int]) -> dict[str, list[int]]:
    """Return the sizes that each of the algorithms runs which a name stands for."""
    found: dict[str, list[int]] = {}
    for elements in sizes:
        found.setdefault(name_at(name, elements), []).append(elements)
    return found


def landing_widths(name: str, ranks: int, sizes: Sequence[int]) -> Ints:
    """Return the widest addition of each rank in an exchange of each size.

    Shape (ranks, channels, N).
    """
    parts = by_name(name, sizes)
    found = np.zeros((ranks, channels_of(parts, ranks), len(sizes)), dtype=np.int64)
    columns = {elements: i for i, elements in enumerate(sizes)}
    for part, some in parts.items():
        moves = moves_of(algorithm(part).emit, ranks)
        edges = block_edges(moves.blocks, some)
        width = edges[moves.end[moves.adds]] - edges[moves.first[moves.adds]]
        widest = moves.by_landing.by_key(np.maximum, width, ranks * moves.channels, 0)
        at = [columns[elements] for elements in some]
        found[:, : moves.channels, at] = widest.reshape(ranks, moves.channels, -1)
    return found


def channels_of(names: Iterable[str], ranks: int) -> int:
    """Return the most channels of any of some algorithms."""
    return max((moves_of(algorithm(name).emit, ranks).channels for name in names), default=1)


@cache
def arrivals(name: str, ranks: int) -> int:
    """Return how many chunks land in the register where most do, in one exchange."""
    every = (moves_of(algorithm(part).emit, ranks) for part, _ in turns(name))
    each = (np.diff(m.by_landing.starts, append=len(m.adds)).max(initial=0) for m in every)
    return max(map(int, each))


def block_edges(blocks: int, sizes: Sequence[int]) -> Ints:
    """Return where the blocks of an array of each size begin and end, shape (blocks + 1, N)."""
    return np.arange(blocks + 1)[:, None] * np.array(sizes, dtype=np.int64) // blocks

"""Scripts: the moves of an algorithm on so many ranks, noted once for arrays of every size.

Whatever is exchanged, an algorithm makes the same moves in the same order; only its blocks are
wider. Who writes them as tasks, or bounds them, works on arrays. Index letters: T moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import numpy as np

from hwprofiles.units import Ints
from planner.collectives.base import Emit, Span, Spans, Tasks, chunk_spans

ELEMENTS = 10_000_019
"""Size at which an algorithm is emitted: all its blocks differ in where they begin."""


@dataclass(slots=True)
class Notes:
    """An exchange that notes its moves, with what each waits for.

    A switch that adds is one rank more. What a move waits for is a move, or below 0 a token: what
    makes a rank ready, or (``may_land``) what leaves room where it lands first.
    """

    ranks: int
    elements: int = ELEMENTS
    rows: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)
    """Source, destination, first element, end, channel, whether it lands, the arrival that it adds;
    an addition has the same rank twice."""
    after: list[tuple[int, ...]] = field(default_factory=list)
    landed: dict[tuple[int, int], int] = field(default_factory=dict)
    added: dict[int, int] = field(default_factory=dict)
    fold: None = None

    @property
    def ready(self) -> list[Tasks]:
        """By rank: the token of what makes it ready."""
        return [(-1 - rank,) for rank in range(self.ranks)]

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
        if landing:
            may_land = -1 - self.ranks - dst
            after = (*after, self.landed.get((dst, channel), may_land))
            self.landed[dst, channel] = len(self.rows)
        return self._note((src, dst, *span, channel, landing, -1), after)

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note a transfer from the switch."""
        return self._note((self.ranks, rank, *span, 0, 0, -1), after)

    def spread(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note a transfer to the switch."""
        return self._note((rank, self.ranks, *span, 0, 0, -1), after)

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition; those of one rank keep their order."""
        turn = (self.added[rank],) if rank in self.added else ()
        self.added[rank] = len(self.rows)
        channel = self.rows[arrived][4]
        return self._note((rank, rank, *span, channel, 0, arrived), (*after, arrived, *turn))

    def _note(self, row: tuple[int, int, int, int, int, int, int], after: tuple[int, ...]) -> int:
        self.rows.append(row)
        self.after.append(after)
        return len(self.rows) - 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Script:
    """The transfers and additions of an algorithm."""

    ranks: int
    blocks: int
    channels: int
    src: Ints
    dst: Ints
    """(T,) ranks, or their number for a switch; equal for an addition."""
    first: Ints
    end: Ints
    """(T,) blocks."""
    channel: Ints
    lands: Ints
    """(T,) 1 where it lands to be added, else 0."""
    arrived: Ints
    """(T,) the transfer whose arrival is added, -1 for a transfer."""
    waits: Ints
    waiting: Ints
    """What is waited for, a move or a token, and by which move, ascending."""
    last: tuple[Tasks, ...]
    """By rank: moves, or tokens, after which its copy is final."""

    @property
    def adds(self) -> Ints:
        """Moves that are additions."""
        return np.flatnonzero(self.arrived >= 0)

    @property
    def sends(self) -> Ints:
        """Moves that are transfers."""
        return np.flatnonzero(self.arrived < 0)

    @property
    def pairs(self) -> Ints:
        """(T,) source x (ranks + 1) + destination."""
        return self.src * (self.ranks + 1) + self.dst

    def edges(self, elements: int) -> Ints:
        """Return where the blocks of an array begin, and where the last one ends."""
        return np.arange(self.blocks + 1, dtype=np.int64) * elements // self.blocks

    def landing(self, elements: int) -> Ints:
        """Return the widest arrival that is added, by rank and channel, (ranks, channels)."""
        edges, found = self.edges(elements), np.zeros((self.ranks, self.channels), dtype=np.int64)
        adds = self.adds
        width = edges[self.end[adds]] - edges[self.first[adds]]
        np.maximum.at(found, (self.src[adds], self.channel[adds]), width)
        return found

    def turns(self) -> Ints:
        """Return, by transfer that lands, how many landed before it by its channel, shape (T,)."""
        found, landing = np.zeros_like(self.src), np.flatnonzero(self.lands)
        seat = (self.dst * self.channels + self.channel)[landing]
        order = np.argsort(seat, kind="stable")
        starts = np.flatnonzero(np.diff(seat[order], prepend=-1))
        counts = np.diff(starts, append=len(order))
        found[landing[order]] = np.arange(len(order)) - np.repeat(starts, counts)
        return found


@cache
def script_of(emit: Emit, ranks: int) -> Script:
    """Return the moves of an algorithm on so many ranks."""
    notes = Notes(ranks)
    last: Sequence[Tasks] = emit(notes, notes.ready)
    rows = np.array(notes.rows, dtype=np.int64).reshape(-1, 7)
    cuts = rows[:, 2:4]
    blocks = len(np.unique(cuts)) - 1
    spans = chunk_spans(ELEMENTS, blocks)
    edges = np.array([spans[0][0], *(end for _, end in spans)])
    assert np.isin(cuts, edges).all(), "an algorithm cuts its array by chunk_spans"
    lengths = np.fromiter(map(len, notes.after), dtype=np.int64, count=len(rows))
    waits = np.fromiter(chain(*notes.after), dtype=np.int64, count=int(lengths.sum()))
    src, dst, _, _, channel, lands, arrived = rows.T
    return Script(
        ranks=ranks,
        blocks=blocks,
        channels=int(channel.max(initial=0)) + 1,
        src=src,
        dst=dst,
        first=np.searchsorted(edges, cuts[:, 0]),
        end=np.searchsorted(edges, cuts[:, 1]),
        channel=channel,
        lands=lands,
        arrived=arrived,
        waits=waits,
        waiting=np.repeat(np.arange(len(rows)), lengths),
        last=tuple(last),
    )

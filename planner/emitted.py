"""What an algorithm emits on so many ranks, noted once: the same moves for every size of a bucket.

A bucket is cut into blocks; that of another size has wider blocks and no other moves. Where ranks
are alike, the moves of a few stand for all (``planner.collectives._symmetry``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from hwprofiles.errors import PlanError
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import TURN, Span, Spans, Tasks, algorithm, chunk_spans, is_switched
from planner.folded_exchange import FoldedExchange, Orbit

ELEMENTS = 10_000_019
"""Size at which an algorithm is emitted: all its blocks differ in where they begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transfer, or an addition (the same rank twice), of some blocks."""

    src: int
    dst: int
    first: int
    end: int
    """Blocks."""
    after: Tasks
    """Moves that it waits for; ``-1 - r`` stands for whatever rank ``r`` waited for before."""
    lands: bool = False
    """Whether the transfer fills a slot of the landing register, not the copy in place."""
    arrived: int = -1
    """Of an addition: the transfer that it adds."""

    @property
    def adds(self) -> bool:
        """Whether it is an addition."""
        return self.arrived >= 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Emitted:
    """All moves of an algorithm, in the order in which one rank at a time could do them."""

    ranks: int
    channels: int
    """Moves are as they should be only if it is one."""
    blocks: int
    moves: tuple[Move, ...]
    last: tuple[Tasks, ...]
    """By rank: moves after which its copy is final."""


@cache
def emitted(name: str, ranks: int) -> Emitted:
    """Return the moves of an algorithm on so many ranks."""
    notes = _Notes(ranks)
    last = algorithm(name).emit(notes, [(-1 - rank,) for rank in range(ranks)])
    blocks = len({edge for move in notes.moves for edge in (move.first, move.end)}) - 1
    spans = chunk_spans(ELEMENTS, blocks)
    place = {edge: at for at, edge in enumerate([spans[0][0], *(end for _, end in spans)])}
    assert all(m.first in place and m.end in place for m in notes.moves), "blocks are chunk_spans"
    moves = (replace(m, first=place[m.first], end=place[m.end]) for m in notes.moves)
    return Emitted(
        ranks=ranks, channels=notes.channels, blocks=blocks, moves=tuple(moves), last=tuple(last)
    )


@dataclass(slots=True)
class _Notes:
    """An exchange that notes its moves, with what each waits for (see ``BucketExchange``)."""

    ranks: int
    elements: int = ELEMENTS
    moves: list[Move] = field(default_factory=list)
    landed: dict[int, int] = field(default_factory=dict)
    added: dict[int, int] = field(default_factory=dict)
    channels: int = 1
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
        self.channels = max(self.channels, channel + 1)
        number = len(self.moves)
        if landing:
            # the first of them waits until the receiver needs the bytes no more
            after = (*after, self.landed.get(dst, -1 - dst))
            self.landed[dst] = number
        first, end = span
        self.moves.append(Move(src=src, dst=dst, first=first, end=end, after=after, lands=landing))
        return number

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition; those of one rank keep their order."""
        number = len(self.moves)
        turn = (self.added[rank],) if rank in self.added else ()
        self.added[rank] = number
        first, end = span
        waits = (*after, arrived, *turn)
        self.moves.append(
            Move(src=rank, dst=rank, first=first, end=end, after=waits, arrived=arrived)
        )
        return number


# Folded: the moves of a few ranks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmittedFold:
    """Moves of the ranks that stand for all, each for its orbit."""

    fold: Symmetry
    orbits: tuple[Orbit, ...]
    spans: tuple[Span, ...]
    """Blocks of each orbit's own move."""
    last: tuple[Tasks, ...]
    """By rank that stands for others: orbits after which its copy is final."""
    exchange: FoldedExchange


@cache
def symmetry(name: str, ranks: int) -> Symmetry | None:
    """Return what turns one rank of an algorithm into another; None where they are not alike."""
    if TURN in name or is_switched(name):
        return None
    found = getattr(algorithm(name), "symmetry", None)
    try:
        return found(ranks) if found else None
    except PlanError:
        return None


@cache
def emitted_fold(name: str, ranks: int, kept: tuple[int, ...]) -> EmittedFold:
    """Return the moves of the ranks that ``kept`` leaves, for an algorithm that has a symmetry."""
    found = symmetry(name, ranks)
    assert found is not None, "only what is alike folds"
    fold = replace(found, kept=kept)
    exchange = _FoldedNotes(ranks=ranks, elements=fold.block_count, fold=fold, item_bytes=1)
    last = algorithm(name).emit(exchange, dict.fromkeys(fold.ranks(), ()))
    return EmittedFold(
        fold=fold,
        orbits=tuple(exchange.orbits),
        spans=tuple(exchange.spans),
        last=tuple(_orbits(tokens, fold) for tokens in last),
        exchange=exchange,
    )


def _orbits(tokens: Sequence[int], fold: Symmetry) -> Tasks:
    return tuple(sorted({token // fold.order for token in tokens}))


@dataclass(slots=True, kw_only=True)
class _FoldedNotes(FoldedExchange):
    """A folded exchange of one element a block, so that a span is one of blocks; it keeps them."""

    spans: list[Span] = field(default_factory=list)

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
        """Note a transfer and its blocks."""
        assert not more, "a message of a plan is one span"
        self.spans.append(span)
        return FoldedExchange.send(
            self, src, dst, span, after=after, landing=landing, channel=channel
        )

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition and its blocks."""
        self.spans.append(span)
        return FoldedExchange.add(self, rank, span, arrived, after=after)

"""Every rank's copy of the exchanged array, block by block: what a move waits for.

An algorithm states its moves in an order in which one rank at a time could do them. From that
order follows all that must wait: a block is read once its last writer is done, and overwritten
once, besides, all who read it are. The receive of a transfer in place, which MPI may fill as soon
as it is posted, is therefore posted only when the old value has gone.

Where an exchange folds, it is told the moves of the ranks that stand for all, and a block is kept
under its name there; what is kept of a move at another rank is a turned token.

ASSUMES: one message carries several spans as it goes, as a kernel or a vector datatype does: it is
as long as one span of all their bytes, and nothing is packed before or after.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from planner.collectives._symmetry import Turn
from planner.collectives.base import Exchange, Ready, Span, Tasks, chunk_spans


@dataclass(slots=True)
class Copies:
    """Who last wrote each block of each rank's copy, and who has read it since."""

    exchange: Exchange
    ready: Ready
    blocks: int = 1
    channel: int = 0
    """Lanes that the next moves take."""
    in_turn: bool = False
    """Whether the messages of a rank by a channel keep their order; else a lane takes what is there
    first."""
    written: dict[tuple[int, int], Tasks] = field(default_factory=dict)
    read: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    """By rank and channel: its last message, where they keep their order."""
    spans: list[Span] = field(init=False)

    def __post_init__(self) -> None:
        self.spans = chunk_spans(self.exchange.elements, self.blocks)

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return self.exchange.ranks

    def each(self, count: int) -> Sequence[int]:
        """Return which of ``count`` ranks, or blocks of theirs, to emit: all, unless folded."""
        fold = self.exchange.fold
        return fold.ranks() if fold else range(count)

    def move(self, src: int, dst: int, first: int, end: int = 0) -> None:
        """Replace blocks ``first`` to ``end`` (default: one) of ``dst`` by those of ``src``."""
        self.carry(src, dst, range(first, end or first + 1))

    def carry(self, src: int, dst: int, blocks: Sequence[int]) -> None:
        """Replace some blocks of ``dst``, ascending, by those of ``src``: one message."""
        after = {*self._readable(src, blocks), *self._writable(dst, blocks)}
        sent = self._send(src, dst, blocks, after, landing=False)
        self._write(dst, blocks, sent)

    def reduce(self, src: int, dst: int, first: int, end: int = 0) -> None:
        """Add blocks ``first`` to ``end`` (default: one) of ``src`` to those of ``dst``."""
        blocks = range(first, end or first + 1)
        own = tuple(sorted(self._writable(dst, blocks)))
        sent = self._send(src, dst, blocks, self._readable(src, blocks), landing=True)
        self._write(dst, blocks, self.exchange.add(dst, self.span(blocks), sent, after=own))

    def done(self) -> list[Tasks]:
        """Return, by rank, the tasks after which its copy is final and free to change.

        Where the exchange folds, by rank of those that stand for all.
        """
        every, fold = range(self.blocks), self.exchange.fold
        ranks = fold.ranks() if fold else range(self.ranks)
        return [tuple(sorted(self._writable(rank, every))) for rank in ranks]

    def span(self, blocks: range) -> Span:
        """Return the elements of some blocks."""
        return self.spans[blocks[0]][0], self.spans[blocks[-1]][1]

    def _pieces(self, blocks: Sequence[int]) -> list[Span]:
        """Return the elements of some blocks, neighbours as one span."""
        if isinstance(blocks, range):
            return [self.span(blocks)]
        found: list[Span] = []
        for begin, end in (self.spans[block] for block in blocks):
            joins = bool(found) and found[-1][1] == begin
            found.append((found.pop()[0] if joins else begin, end))
        return found

    def _readable(self, rank: int, blocks: Sequence[int]) -> set[int]:
        rank, blocks, turn = self._home(rank, blocks)
        found = {t for b in blocks for t in self.written.get((rank, b), self.ready[rank])}
        return self._turned(found, turn)

    def _writable(self, rank: int, blocks: Sequence[int]) -> set[int]:
        """Tasks to wait for; readers stand for the writer, which they follow."""
        rank, blocks, turn = self._home(rank, blocks)
        found: set[int] = set()
        for b in blocks:
            written = self.written.get((rank, b), self.ready[rank])
            found.update(self.read.get((rank, b), written))
        return self._turned(found, turn)

    def _send(
        self, src: int, dst: int, blocks: Sequence[int], after: set[int], *, landing: bool
    ) -> int:
        span, *more = self._pieces(blocks)
        home, own, turn = self._home(src, blocks)
        fold = self.exchange.fold
        lane = home, fold.channel_home(self.channel, turn) if fold else self.channel
        if lane in self.sent:
            after |= self._turned({self.sent[lane]}, turn)
        sent = self.exchange.send(
            src,
            dst,
            span,
            after=tuple(sorted(after)),
            landing=landing,
            channel=self.channel,
            more=tuple(more),
        )
        (kept,) = self._turned({sent}, turn, back=True)
        for b in own:
            self.read.setdefault((home, b), []).append(kept)
        if self.in_turn:
            self.sent[lane] = kept
        return sent

    def _write(self, rank: int, blocks: Sequence[int], task: int) -> None:
        rank, blocks, turn = self._home(rank, blocks)
        kept = tuple(self._turned({task}, turn, back=True))
        for b in blocks:
            self.written[rank, b] = kept
            self.read.pop((rank, b), None)

    def _home(self, rank: int, blocks: Sequence[int]) -> tuple[int, Sequence[int], Turn]:
        """Return under which rank and blocks a copy is kept, and the turn that leads to it."""
        fold = self.exchange.fold
        if fold is None:
            return rank, blocks, ()
        at, turn = fold.home(rank)
        if isinstance(blocks, range):
            return at, fold.blocks_home(blocks, turn), turn
        return at, [fold.blocks_home(range(b, b + 1), turn)[0] for b in blocks], turn

    def _turned(self, tokens: set[int], turn: Turn, *, back: bool = False) -> set[int]:
        fold = self.exchange.fold
        if fold is None or not any(turn):
            return tokens
        return {fold.turned(token, turn, back=back) for token in tokens}

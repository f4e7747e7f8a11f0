"""Every rank's copy of the exchanged array, block by block: what a move waits for.

An algorithm states its moves in an order in which one rank at a time could do them. From that
order follows all that must wait: a block is read once its last writer is done, and overwritten
once, besides, all who read it are. The receive of a transfer in place, which MPI may fill as soon
as it is posted, is therefore posted only when the old value has gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from planner.collectives.base import Exchange, Span, Tasks, chunk_spans


@dataclass(slots=True)
class Copies:
    """Who last wrote each block of each rank's copy, and who has read it since."""

    exchange: Exchange
    ready: Sequence[Tasks]
    """Tasks after which each rank's copy may be read and written."""
    blocks: int = 1
    written: dict[tuple[int, int], Tasks] = field(default_factory=dict)
    read: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    spans: list[Span] = field(init=False)

    def __post_init__(self) -> None:
        self.spans = chunk_spans(self.exchange.elements, self.blocks)

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return self.exchange.ranks

    def move(self, src: int, dst: int, first: int, end: int = 0) -> None:
        """Replace blocks ``first`` to ``end`` (default: one) of ``dst`` by those of ``src``."""
        blocks = range(first, end or first + 1)
        after = {*self._readable(src, blocks), *self._writable(dst, blocks)}
        sent = self._send(src, dst, blocks, after, landing=False)
        self._write(dst, blocks, sent)

    def reduce(self, src: int, dst: int, first: int, end: int = 0) -> None:
        """Add blocks ``first`` to ``end`` (default: one) of ``src`` to those of ``dst``."""
        blocks = range(first, end or first + 1)
        own = tuple(sorted(self._writable(dst, blocks)))
        sent = self._send(src, dst, blocks, self._readable(src, blocks), landing=True)
        self._write(dst, blocks, self.exchange.add(dst, self._span(blocks), sent, after=own))

    def done(self) -> list[Tasks]:
        """Return, by rank, the tasks after which its copy is final and free to change."""
        every = range(self.blocks)
        return [tuple(sorted(self._writable(rank, every))) for rank in range(self.ranks)]

    def _span(self, blocks: range) -> Span:
        return self.spans[blocks[0]][0], self.spans[blocks[-1]][1]

    def _readable(self, rank: int, blocks: range) -> set[int]:
        return {t for b in blocks for t in self.written.get((rank, b), self.ready[rank])}

    def _writable(self, rank: int, blocks: range) -> set[int]:
        """Tasks to wait for; readers stand for the writer, which they follow."""
        found: set[int] = set()
        for b in blocks:
            written = self.written.get((rank, b), self.ready[rank])
            found.update(self.read.get((rank, b), written))
        return found

    def _send(self, src: int, dst: int, blocks: range, after: set[int], *, landing: bool) -> int:
        span = self._span(blocks)
        sent = self.exchange.send(src, dst, span, after=tuple(sorted(after)), landing=landing)
        for b in blocks:
            self.read.setdefault((src, b), []).append(sent)
        return sent

    def _write(self, rank: int, blocks: range, task: int) -> None:
        for b in blocks:
            self.written[rank, b] = (task,)
            self.read.pop((rank, b), None)

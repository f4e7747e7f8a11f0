"""Ring all-reduce whose chunks go round in pieces: while one is added up, the next arrives.

The bytes of a ring in P times as many messages. With a second landing slot a rank sends and adds at
the same time, so a step takes the longer of both and not their sum; a landing register holds a
piece. Messages of a rank keep their order. Source: NCCL's slices (Hu et al., arXiv 2507.04786,
section II.D).
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Tasks, busiest_ps, chunk_edges

OPERATION = "all_reduce"
NUMBERS = "the number of pieces of a chunk"
PIECES = 2


def pieces_of(numbers: tuple[int, ...]) -> int:
    """Return into how many pieces a chunk is cut."""
    if len(numbers) > 1:
        told = "x".join(map(str, numbers))
        raise PlanError(f"algorithm 'pipelined_ring': expected one number of pieces, got {told}")
    return numbers[0] if numbers else PIECES


def steps(ranks: int, *pieces: int) -> int:
    """Transfers of a rank, one after the other: 2 (n - 1) P."""
    return 2 * (ranks - 1) * pieces_of(pieces)


def emit(exchange: Exchange, ready: Sequence[Tasks], *pieces: int) -> list[Tasks]:
    """Append 2 n (n - 1) P transfers and half as many additions; chunk ``c`` is of rank ``c``."""
    n, count = exchange.ranks, pieces_of(pieces)
    copies = Copies(exchange, ready, n * count, in_turn=True)
    for step in range(n - 1):
        for piece in range(count):
            for rank in copies.each(n):
                copies.reduce(rank, (rank + 1) % n, (rank - step) % n * count + piece)
    for step in range(n - 1):
        for piece in range(count):
            for rank in copies.each(n):
                copies.move(rank, (rank + 1) % n, (rank + 1 - step) % n * count + piece)
    return copies.done()


def symmetry(ranks: int, *pieces: int) -> Symmetry:
    """Round the ring, a chunk with its rank."""
    return Symmetry(sizes=(ranks,), blocks=((ranks, 0), (pieces_of(pieces), -1)))


def cost_ps(elements: int, prices: Prices, *pieces: int) -> int:
    """Time of one uncontended run, piece by piece: what a wire, a slot and an adder wait for."""
    n, count = prices.ranks, pieces_of(pieces)
    widths = np.diff(chunk_edges(elements, n * count)).reshape(n, count)
    if prices.alike and (widths == widths[0, 0]).all():
        widths = widths[:1]
    ranks = np.arange(len(widths))
    clock = _Clock(prices, ranks, np.roll(ranks, 1), count)
    for step in range(n - 1):
        clock.reduce(widths[(ranks - 1 - step) % len(ranks)])
    for step in range(n - 1):
        clock.gather(widths[(ranks - step) % len(ranks)])
    return max(int(clock.arrived.max()), busiest_ps(emit, elements, prices, *pieces))


class _Clock:
    """When each rank has what it sends next, piece by piece, picoseconds."""

    def __init__(self, prices: Prices, ranks: Ints, before: Ints, pieces: int) -> None:
        self.prices, self.ranks, self.before = prices, ranks, before
        self.has: Ints = np.zeros((pieces, len(ranks)), dtype=np.int64)
        self.arrived: Ints = np.zeros(len(ranks), dtype=np.int64)
        nothing = [self.arrived] * max(1, prices.landing_slots)
        self.added = deque(nothing, maxlen=len(nothing))
        """When the last additions ended, as many as there are landing slots."""

    def reduce(self, widths: Ints) -> None:
        """Send a chunk to the next rank, which adds it to its own; ``widths`` are (ranks, P)."""
        has = np.empty_like(self.has)
        for piece, width in enumerate(widths.T):
            free = np.maximum(self.arrived, self.added[0])
            self.arrived = np.maximum(self.has[piece, self.before], free) + self._sent_ps(width)
            adds = self.prices.every_add_ps(self.ranks, width)
            self.added.append(np.maximum(self.arrived, self.added[-1]) + adds)
            has[piece] = self.added[-1]
        self.has = has

    def gather(self, widths: Ints) -> None:
        """Send a chunk to the next rank, which keeps it."""
        has = np.empty_like(self.has)
        for piece, width in enumerate(widths.T):
            start = np.maximum(self.has[piece, self.before], self.arrived)
            self.arrived = has[piece] = start + self._sent_ps(width)
        self.has = has

    def _sent_ps(self, width: Ints) -> Ints:
        return self.prices.transfers_ps(self.before, self.ranks, width)

"""Rings of several channels: who is where in each of them, what they emit, how long it takes.

A channel has a ring through all ranks and a part of the array of its own. Chunks of that part go
round, in pieces if wanted. Index letters: C channels, N ranks or places in a ring, P pieces.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from hwprofiles.units import Ints
from planner.collectives._copies import Copies
from planner.collectives._lanes import ALL_UP_TO
from planner.collectives._levels import of_width
from planner.collectives.base import Exchange, Prices, Tasks, chunk_edges


@dataclass(frozen=True, eq=False, kw_only=True)
class Rings:
    """The rings of all channels."""

    order: Ints
    """(C, N) the rank at each place."""
    lead: Ints
    """(N,) the channel that a rank serves first in every step; then those after it."""
    pieces: int = 1
    """Into how many a chunk is cut."""
    in_turn: bool = True
    """Whether the messages of a rank by a channel keep their order, while sums are gathered too."""
    ahead: int = 0
    """Whose chunk a rank sends first: that of the rank before it, or with 1 its own."""

    @cached_property
    def place(self) -> Ints:
        """(C, N) the place of each rank."""
        return np.argsort(self.order, axis=1)

    @property
    def blocks(self) -> int:
        """Number of blocks of the array: by channel, rank and piece."""
        return self.order.size * self.pieces

    def emit(self, exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
        """Append a reduce-scatter and an all-gather round all rings."""
        channels, n = self.order.shape
        order, place, lead = self.order.tolist(), self.place.tolist(), self.lead.tolist()
        copies = Copies(exchange, ready, self.blocks, in_turn=self.in_turn)
        for phase, first in ((copies.reduce, self.ahead - 1), (copies.move, self.ahead)):
            for step in range(n - 1):
                for piece, turn in np.ndindex(self.pieces, channels):
                    for rank in copies.each(n):
                        copies.channel = channel = (lead[rank] + turn) % channels
                        ring, at = order[channel], place[channel][rank]
                        chunk = channel * n + ring[(at + first - step) % n]
                        phase(rank, ring[(at + 1) % n], chunk * self.pieces + piece)
        return copies.done()

    def cost_ps(self, elements: int, prices: Prices) -> int:
        """Time of one run on lanes that nobody else uses: what wires, slots and adders wait for.

        A rank adds in the order in which it is told to. Where messages keep theirs, that is exact
        for parts and links that differ, too; else it is a bound of those. On more than 64 ranks it
        is the longest way or the busiest lane, with parts as wide as the narrowest.
        """
        n = self.order.shape[1]
        hops = _Hops(self, prices)
        widths = np.diff(chunk_edges(elements, self.blocks)).reshape(-1, n, self.pieces)
        least_ps = self._bound_ps(hops, int(widths.min()), prices.landing_slots)
        if n > ALL_UP_TO:
            return least_ps
        widths = np.take_along_axis(widths, self.order[:, :, None], axis=1)
        clock = _Clock(self, hops, prices.landing_slots)
        for step in range(n - 1):
            clock.reduce(np.roll(widths, step + 2 - self.ahead, axis=1))
        for step in range(n - 1):
            clock.gather(np.roll(widths, step + 1 - self.ahead, axis=1))
        return max(int(clock.over.max()), least_ps)

    def _bound_ps(self, hops: "_Hops", width: int, slots: int) -> int:
        """Longest way of a piece, or work of a lane, where all pieces have one width."""
        n = self.order.shape[1]
        sent, added = hops.sent_ps(width), hops.added_ps(width)
        after = np.roll(sent, -1, axis=1), np.roll(added, -1, axis=1)
        round_ps = sent.sum(axis=1)
        ways = (2 * round_ps + added.sum(axis=1))[:, None] - sent - after[0] - after[1]
        waits = n - 2 if slots < 2 and self.in_turn else 0
        lanes = self.pieces * (2 * (n - 1) * sent + waits * added)
        sums = np.bincount(self.order.reshape(-1), added.reshape(-1)).max()
        adders = self.pieces * (n - 1) * int(sums) + int((round_ps - sent.max(axis=1)).min())
        found: int = max(int(ways.max()), int(lanes.max()), int(sent.min()) + adders)
        return found

    def adding(self) -> Ints:
        """(C, N) where in ``order``, flattened, each rank stands as it adds first, second, ..."""
        channels, n = self.order.shape
        sender = np.take_along_axis(np.roll(self.order, 1, axis=1), self.place, axis=1)
        turn = (np.arange(channels)[:, None] - self.lead[sender]) % channels
        told = np.argsort(turn * n + sender, axis=0, kind="stable")
        found: Ints = told * n + np.take_along_axis(self.place, told, axis=0)
        return found


class _Hops:
    """What each hop of all rings takes, and each addition after it, by width, (C, N)."""

    def __init__(self, rings: Rings, prices: Prices) -> None:
        to, sender = (array.reshape(-1) for array in (rings.order, np.roll(rings.order, 1, axis=1)))

        def sent_ps(width: int) -> Ints:
            found = prices.transfers_ps(sender, to, np.full(to.size, width))
            return found.reshape(rings.order.shape)

        def added_ps(width: int) -> Ints:
            return prices.every_add_ps(to, np.full(to.size, width)).reshape(rings.order.shape)

        self.sent_ps, self.added_ps = cache(sent_ps), cache(added_ps)


class _Clock:
    """When each rank has what it sends next, by channel and place, picoseconds."""

    def __init__(self, rings: Rings, hops: _Hops, slots: int) -> None:
        self.rings, self.hops, self.adding = rings, hops, rings.adding()
        shape = rings.order.shape
        self.has: list[Ints] = [np.zeros(shape, dtype=np.int64)] * rings.pieces
        self.arrived: Ints = np.zeros(shape, dtype=np.int64)
        self.over: Ints = self.arrived
        """The last arrivals of all."""
        self.busy: Ints = np.zeros(shape[1], dtype=np.int64)
        """Until when each rank adds, by rank."""
        nothing = [self.arrived] * max(1, slots)
        self.added = deque(nothing, maxlen=len(nothing))
        """When the last additions ended, as many as there are landing slots."""

    def reduce(self, widths: Ints) -> None:
        """Receive a chunk from the place before, and add it; ``widths`` are (C, N, P)."""
        for piece, has in enumerate(self.has):
            width = widths[:, :, piece]
            free = np.maximum(self.arrived, self.added[0])
            self.arrived = np.maximum(np.roll(has, 1, axis=1), free)
            self.arrived = self.arrived + of_width(width, self.hops.sent_ps)
            self.has[piece] = self._added(of_width(width, self.hops.added_ps))
            self.added.append(self.has[piece])

    def _added(self, adds: Ints) -> Ints:
        """Return when what has arrived is added: of a rank one after the other, in its order."""
        came, adds = (array.reshape(-1)[self.adding] for array in (self.arrived, adds))
        sums = adds.cumsum(axis=0)
        start = np.maximum(np.maximum.accumulate(came - sums + adds, axis=0), self.busy)
        ended = start + sums
        self.busy = ended[-1]
        found: Ints = np.empty_like(ended)
        found.reshape(-1)[self.adding] = ended
        return found

    def gather(self, widths: Ints) -> None:
        """Receive a chunk from the place before, and keep it."""
        for piece, has in enumerate(self.has):
            start = np.roll(has, 1, axis=1)
            if self.rings.in_turn:
                start = np.maximum(start, self.arrived)
            self.arrived = start + of_width(widths[:, :, piece], self.hops.sent_ps)
            self.has[piece] = self.arrived
            self.over = np.maximum(self.over, self.arrived)

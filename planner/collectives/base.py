"""What a collective algorithm is given, and what it owes.

An algorithm is a module with

- ``OPERATION``: what it does, by the name of the MPI operation; rank 0 is the root of those that
  have one, and chunk ``r`` of ``chunk_spans`` belongs to rank ``r``;
- ``emit(exchange, ready)``: append its transfers and additions; return, by rank, the tasks after
  which that rank's copy is final and free to change;
- ``cost_ps(elements, prices)``: time of one uncontended run, all ranks ready at 0, in whole
  picoseconds;
- ``steps(ranks)``: that time when a transfer takes 1 and an addition nothing;
- ``symmetry(ranks)``, where all ranks do alike: what turns one into another, so that it can be
  emitted folded (``planner.folding``);
- ``busbw_factor(ranks)``, where a rank's link carries more of the array than the bus factor of the
  operation says.

A module that says what its ``NUMBERS`` are takes them after the other arguments of each of these,
and chooses them by the number of ranks where none are given: ``torus:4x4x8`` is the module
``torus`` with 4, 4 and 8 (``planner.algorithms``). One that is ``SWITCHED`` needs a switch that
adds between its ranks, and ``emit`` is given a ``SwitchedExchange``.

What its lanes are busy for and where arrivals land follows from what it emits (:func:`traffic`).
Closed forms are integers of picoseconds, rounded where ``lower`` rounds, so that
``simulated >= closed form >= bound`` holds without a tolerance; ``planner.algorithms`` names them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from hwprofiles.units import Ints
from planner.collectives._symmetry import Symmetry

FEW = 4
"""Prices that may be, to each that is asked for, up to which they are told apart by a table."""
Tasks = tuple[int, ...]
Span = tuple[int, int]
Spans = tuple[Span, ...]
Ready = Sequence[Tasks] | Mapping[int, Tasks]
"""By rank: tasks after which its copy may be read and written."""


class Exchange(Protocol):
    """Where an algorithm puts its tasks; element ranges count within the exchanged array."""

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        ...

    @property
    def elements(self) -> int:
        """Number of elements exchanged."""
        ...

    @property
    def fold(self) -> Symmetry | None:
        """The symmetry by which a few ranks are to stand for all; None where all are emitted."""
        ...

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
        """Move ``span`` from ``src`` to ``dst``, into its landing register or in place.

        Transfers of one channel take turns on the lanes of a rank. The same message carries
        ``more`` spans where an algorithm has them; no all-reduce does.
        """
        ...

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Add what transfer ``arrived`` landed at ``rank`` to its own copy of ``span``.

        Additions of one rank keep their order.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Busy time of one rank's lanes in one exchange, picoseconds."""

    send_ps: int
    receive_ps: int
    add_ps: int

    @property
    def total_ps(self) -> int:
        """Time on one lane where transfers hold the compute lane."""
        return self.send_ps + self.receive_ps + self.add_ps


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What transfers and additions cost on the ranks at hand."""

    ranks: int
    transfer_ps: Callable[[int, int, int], int]
    """``(src rank, dst rank, elements)`` to the time of a lone transfer."""
    add_ps: Callable[[int, int], int]
    """``(rank, elements)`` to the time of an addition."""
    holds_compute: bool
    """Whether a transfer holds the compute lanes of both ends."""
    library_ps: Callable[[str, int], int] = lambda name, elements: 0
    """``(algorithm, elements)`` to what a library pays once (``planner.library_cost``)."""
    switched: Callable[[int], int] | None = None
    """Elements to the time of a lone flow through the switch; None where it is a transfer's."""
    landing_slots: int = 1
    alike: bool = False
    """Whether all ranks and all pairs have one price: then one of each width stands for all."""
    kinds: Callable[[Ints, Ints], Ints] | None = None
    """Where few prices are known to serve many: which one pairs of ranks have, or a rank that adds
    (both the same)."""

    def switched_ps(self, elements: int) -> int:
        """Return the time of a lone flow through the switch, where ranks are alike."""
        return self.switched(elements) if self.switched else self.transfer_ps(0, 1, elements)

    def chunks(self, elements: int) -> list[tuple[int, int]]:
        """Return the chunks to price, as (number, elements): all, or one of each width if alike."""
        if self.alike:
            return [(0, width) for width in {elements // self.ranks, -(-elements // self.ranks)}]
        spans = chunk_spans(elements, self.ranks)
        return [(chunk, end - begin) for chunk, (begin, end) in enumerate(spans)]

    def hops_ps(self, elements: int) -> list[int]:
        """Return, by rank, the time of a transfer to the rank after it."""
        n = self.ranks
        if self.alike:
            return [self.transfer_ps(0, 1, elements)] * n
        return [self.transfer_ps(rank, (rank + 1) % n, elements) for rank in range(n)]

    def adds_ps(self, elements: int) -> list[int]:
        """Return, by rank, the time of an addition."""
        if self.alike:
            return [self.add_ps(0, elements)] * self.ranks
        return [self.add_ps(rank, elements) for rank in range(self.ranks)]

    def transfers_ps(self, src: Ints, dst: Ints, elements: Ints) -> Ints:
        """Return the time of each of many transfers."""
        if self.alike:
            return _by_width(elements, lambda width: self.transfer_ps(0, 1, width))
        at, back = self._distinct(src, dst, elements)
        moves = zip(src[at].tolist(), dst[at].tolist(), elements[at].tolist(), strict=True)
        return np.array([self.transfer_ps(*move) for move in moves], dtype=np.int64)[back]

    def every_add_ps(self, ranks: Ints, elements: Ints) -> Ints:
        """Return the time of each of many additions."""
        if self.alike:
            return _by_width(elements, lambda width: self.add_ps(0, width))
        at, back = self._distinct(ranks, ranks, elements)
        sums = zip(ranks[at].tolist(), elements[at].tolist(), strict=True)
        return np.array([self.add_ps(*one) for one in sums], dtype=np.int64)[back]

    def _distinct(self, src: Ints, dst: Ints, elements: Ints) -> tuple[Ints, Ints]:
        """Return the places of one of each price, and which of these each has."""
        if self.kinds is None or not len(src):
            every = np.arange(len(src))
            return every, every
        low, high = int(elements.min()), int(elements.max())
        keys = self.kinds(src, dst) * (high - low + 1) + elements - low
        count = int(keys.max()) + 1
        if count > FEW * len(keys):
            _, at, back = np.unique(keys, return_index=True, return_inverse=True)
            return at, back.reshape(-1)
        one = np.full(count, -1)  # of few keys without sorting
        one[keys] = np.arange(len(keys))
        there = np.flatnonzero(one >= 0)
        number = np.empty_like(one)
        number[there] = np.arange(len(there))
        return one[there], number[keys]

    def on(self, group: Sequence[int]) -> "Prices":
        """Return the prices of the ranks of ``group``: its rank ``i`` is rank ``group[i]``."""
        return replace(
            self,
            ranks=len(group),
            kinds=None,
            transfer_ps=lambda src, dst, n: self.transfer_ps(group[src], group[dst], n),
            add_ps=lambda rank, n: self.add_ps(group[rank], n),
        )

    def absorbed_ps(self, rank: int, elements: int, arrivals: Iterable[tuple[int, int]]) -> int:
        """When ``rank`` has added what others send it in turn, as ``(src, ready_ps)`` pairs.

        An arrival waits for the one before it and for a landing slot. Where transfers hold the
        compute lane, the lane itself takes arrivals and additions one after the other.
        """
        slots = 1 if self.holds_compute else max(1, self.landing_slots)
        add_ps = self.add_ps(rank, elements)
        arrived, added = 0, [0] * slots
        for src, ready_ps in arrivals:
            transfer_ps = self.transfer_ps(src, rank, elements)
            arrived = max(ready_ps, arrived, added[-slots]) + transfer_ps
            added.append(max(arrived, added[-1]) + add_ps)
        return added[-1]

    def served_ps(self, elements: int, sources: int) -> int:
        """Where ranks are alike: ``absorbed_ps`` of so many sources that are all ready at 0."""
        transfer_ps, add_ps = self.transfer_ps(0, 1, elements), self.add_ps(0, elements)
        if self.holds_compute or self.landing_slots < 2:
            return sources * (transfer_ps + add_ps)
        slower_ps, faster_ps = max(transfer_ps, add_ps), min(transfer_ps, add_ps)
        return sources * slower_ps + faster_ps


def _by_width(elements: Ints, price_ps: Callable[[int], int]) -> Ints:
    """Price each width once, and look it up; equal parts of an array have two at most."""
    low, high = (int(elements.min()), int(elements.max())) if len(elements) else (0, 0)
    if low == high:
        return np.full(len(elements), price_ps(low), dtype=np.int64)
    if high - low == 1:
        return np.array([price_ps(low), price_ps(high)], dtype=np.int64)[elements - low]
    widths, places = np.unique(elements, return_inverse=True)
    return np.array([price_ps(int(width)) for width in widths], dtype=np.int64)[places]


def busbw_factor(operation: str, ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth: what a rank's link carries of the array at least.

    Source: nccl-tests, doc/PERFORMANCE.md.

    >>> [busbw_factor(name, 4) for name in ("all_reduce", "all_gather", "broadcast")]
    [1.5, 0.75, 1.0]
    """
    if operation in ("broadcast", "reduce"):
        return 1.0
    halves = 2 if operation == "all_reduce" else 1
    return halves * (ranks - 1) / ranks


def width_of(*spans: Span) -> int:
    """Return the number of elements of spans.

    >>> width_of((0, 2), (7, 10))
    5
    """
    return sum(end - begin for begin, end in spans)


def chunk_spans(elements: int, chunks: int) -> list[Span]:
    """Cut ``elements`` into nearly equal spans.

    >>> chunk_spans(10, 4)
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    edges = [i * elements // chunks for i in range(chunks + 1)]
    return list(pairwise(edges))


def chunk_edges(elements: int, chunks: int) -> Ints:
    """Return where the spans of :func:`chunk_spans` begin, and where the last one ends."""
    return np.arange(chunks + 1, dtype=np.int64) * elements // chunks


# What follows from the tasks


Emit = Callable[..., list[Tasks]]
"""``emit`` of an algorithm; numbers may follow its two arguments."""


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What one exchange moves and adds, equal tasks counted: an exchange that only takes notes."""

    ranks: int
    elements: int
    sends: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """By source, destination and elements."""
    adds: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By rank and elements."""
    widest: dict[tuple[int, int], int] = field(default_factory=dict)
    """Widest addition of each rank that adds, by rank and channel."""
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
        """Note a transfer; all of a channel are one task, for nobody asks which waits for which."""
        del after, landing
        self.sends[src, dst, width_of(span, *more)] += 1
        return channel

    def collect(self, rank: int, span: Span, *, after: Tasks) -> int:
        """Note nothing: what a switch adds lands nowhere."""
        del rank, span, after
        return 0

    spread = collect

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition."""
        del after
        width = span[1] - span[0]
        self.adds[rank, width] += 1
        self.widest[rank, arrived] = max(width, self.landing_elements(rank, arrived))
        return arrived

    def landing_elements(self, rank: int, channel: int = 0) -> int:
        """Widest arrival by a channel that ``rank`` has to add; 0 where none lands."""
        return self.widest.get((rank, channel), 0)

    def loads(self, prices: Prices) -> list[Load]:
        """Busy time of each rank."""
        send, receive, add = ([0] * self.ranks for _ in range(3))
        for (src, dst, n), count in self.sends.items():
            moved_ps = count * prices.transfer_ps(src, dst, n)
            send[src] += moved_ps
            receive[dst] += moved_ps
        for (rank, n), count in self.adds.items():
            add[rank] += count * prices.add_ps(rank, n)
        rows = zip(send, receive, add, strict=True)
        return [Load(send_ps=s, receive_ps=r, add_ps=a) for s, r, a in rows]


@lru_cache(maxsize=4096)
def traffic(emit: Emit, elements: int, ranks: int, *numbers: int) -> Traffic:
    """Return what ``emit`` moves and adds; not to be changed."""
    notes = Traffic(ranks=ranks, elements=elements)
    emit(notes, [()] * ranks, *numbers)
    return notes


def busiest_ps(emit: Emit, elements: int, prices: Prices, *numbers: int) -> int:
    """Work of the busiest rank, where transfers hold the compute lane; else 0."""
    if not prices.holds_compute:
        return 0
    loads = traffic(emit, elements, prices.ranks, *numbers).loads(prices)
    return max(load.total_ps for load in loads)

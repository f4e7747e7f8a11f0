"""What a collective algorithm is given, and what it owes.

An algorithm is a module with

- ``OPERATION``: what it does, by the name of the MPI operation; rank 0 is the root of those that
  have one, and chunk ``r`` of ``chunk_spans`` belongs to rank ``r``;
- ``emit(exchange, ready)``: append its transfers and additions; return, by rank, the tasks after
  which that rank's copy is final and free to change;
- ``cost_ps(elements, prices)``: time of one uncontended run, all ranks ready at 0, in whole
  picoseconds;
- ``steps(ranks)``: that time when a transfer takes 1 and an addition nothing.

What its lanes are busy for and where arrivals land follows from what it emits (:func:`traffic`).
Closed forms are integers of picoseconds, rounded where ``lower`` rounds, so that
``simulated >= closed form >= bound`` holds without a tolerance; :func:`cost_s` gives seconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import import_module
from itertools import pairwise
from typing import Protocol, cast

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from hwprofiles.units import PS_PER_S, Ints

Tasks = tuple[int, ...]
Span = tuple[int, int]


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

    def send(self, src: int, dst: int, span: Span, *, after: Tasks, landing: bool) -> int:
        """Move ``span`` from ``src`` to ``dst``, into its landing register or in place."""
        ...

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Add what transfer ``arrived`` landed at ``rank`` to its own copy of ``span``."""
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
    landing_slots: int = 1
    alike: bool = False
    """Whether all ranks and all pairs have one price: then one of each width stands for all."""

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
        moves = zip(src.tolist(), dst.tolist(), elements.tolist(), strict=True)
        return np.array([self.transfer_ps(*move) for move in moves], dtype=np.int64)

    def every_add_ps(self, ranks: Ints, elements: Ints) -> Ints:
        """Return the time of each of many additions."""
        if self.alike:
            return _by_width(elements, lambda width: self.add_ps(0, width))
        sums = zip(ranks.tolist(), elements.tolist(), strict=True)
        return np.array([self.add_ps(*one) for one in sums], dtype=np.int64)

    def on(self, group: Sequence[int]) -> "Prices":
        """Return the prices of the ranks of ``group``: its rank ``i`` is rank ``group[i]``."""
        return replace(
            self,
            ranks=len(group),
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


class Algorithm(Protocol):
    """The module of a collective algorithm."""

    OPERATION: str

    def emit(self, exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
        """Append the tasks; return each rank's last ones."""
        ...

    def cost_ps(self, elements: int, prices: Prices) -> int:
        """Time of one uncontended run."""
        ...

    def steps(self, ranks: int) -> int:
        """Longest chain of transfers."""
        ...


@cache
def algorithm_names(operation: str = "all_reduce") -> list[str]:
    """Return the algorithms that do ``operation``; a plan may use those of an all-reduce."""
    every = names("planner.collectives")
    return [stem for stem in every if operation == _module(stem).OPERATION]


@cache
def algorithm(name: str) -> Algorithm:
    """Return the module of the algorithm called ``name``."""
    known = names("planner.collectives")
    return _module(lookup("collective algorithm", name, known, error=PlanError))


@cache
def _module(stem: str) -> Algorithm:
    return cast("Algorithm", import_module(f"planner.collectives.{stem}"))


def cost_s(name: str, elements: int, prices: Prices) -> float:
    """Time of one uncontended exchange of ``elements``, seconds."""
    return algorithm(name).cost_ps(elements, prices) / PS_PER_S


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


Emit = Callable[[Exchange, Sequence[Tasks]], list[Tasks]]


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What one exchange moves and adds, equal tasks counted: an exchange that only takes notes."""

    ranks: int
    elements: int
    sends: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """By source, destination and elements."""
    adds: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By rank and elements."""

    def send(self, src: int, dst: int, span: Span, *, after: Tasks, landing: bool) -> int:
        """Note a transfer."""
        del after, landing
        self.sends[src, dst, span[1] - span[0]] += 1
        return 0

    def add(self, rank: int, span: Span, arrived: int, *, after: Tasks) -> int:
        """Note an addition."""
        del arrived, after
        self.adds[rank, span[1] - span[0]] += 1
        return 0

    def landing_elements(self, rank: int) -> int:
        """Widest arrival that ``rank`` has to add; 0 where none lands."""
        return max((n for at, n in self.adds if at == rank), default=0)

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


@dataclass(slots=True, kw_only=True)
class _Moves(Traffic):
    """Traffic that also notes every transfer in turn."""

    moves: list[tuple[int, int, Span, bool]] = field(default_factory=list)

    def send(self, src: int, dst: int, span: Span, *, after: Tasks, landing: bool) -> int:
        del after
        self.moves.append((src, dst, span, landing))
        return 0


@cache
def distinct_names(ranks: int) -> list[str]:
    """Return the all-reduces that differ on so many ranks; of equal ones the shortest name.

    >>> distinct_names(2)
    ['ring', 'star']
    """
    kept: dict[tuple[tuple[int, int, Span, bool], ...], str] = {}
    for name in sorted(algorithm_names(), key=lambda name: (len(name), name)):
        notes = _Moves(ranks=ranks, elements=1_000_003)
        algorithm(name).emit(notes, [()] * ranks)
        kept.setdefault(tuple(notes.moves), name)
    return sorted(kept.values())


@lru_cache(maxsize=4096)
def traffic(emit: Emit, elements: int, ranks: int) -> Traffic:
    """Return what ``emit`` moves and adds; not to be changed."""
    notes = Traffic(ranks=ranks, elements=elements)
    emit(notes, [()] * ranks)
    return notes


def busiest_ps(emit: Emit, elements: int, prices: Prices) -> int:
    """Work of the busiest rank, where transfers hold the compute lane; else 0."""
    if not prices.holds_compute:
        return 0
    return max(load.total_ps for load in traffic(emit, elements, prices.ranks).loads(prices))

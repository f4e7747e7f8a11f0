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
``torus`` with 4, 4 and 8. Names may take turns by size (``BySize``). One that is ``SWITCHED`` needs
a switch that adds between its ranks, and ``emit`` is given a ``SwitchedExchange``.

What its lanes are busy for and where arrivals land follows from what it emits (:func:`traffic`).
Closed forms are integers of picoseconds, rounded where ``lower`` rounds, so that
``simulated >= closed form >= bound`` holds without a tolerance; :func:`cost_s` gives seconds.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import import_module
from itertools import pairwise
from typing import Any, Protocol, cast

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from hwprofiles.units import PS_PER_S, Ints
from planner.collectives._symmetry import Symmetry

Tasks = tuple[int, ...]
Span = tuple[int, int]
Spans = tuple[Span, ...]
TURN = "@"
"""Between the names of algorithms, and the numbers of elements, that take turns by size."""
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
    kinds: Callable[[Ints, Ints], Ints] | None = None
    """Where few prices are known to serve many: which one pairs of ranks have, or a rank that adds
    (both the same)."""

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
        keys = self.kinds(src, dst) * (int(elements.max()) + 1) + elements
        _, at, back = np.unique(keys, return_index=True, return_inverse=True)
        return at, back.reshape(-1)

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


class Algorithm(Protocol):
    """The module of a collective algorithm."""

    @property
    def OPERATION(self) -> str:  # noqa: N802, a constant of a module
        """What it does."""
        ...

    def emit(self, exchange: Exchange, ready: Ready) -> list[Tasks]:
        """Append the tasks; return each rank's last ones."""
        ...

    def cost_ps(self, elements: int, prices: Prices) -> int:
        """Time of one uncontended run."""
        ...

    def steps(self, ranks: int) -> int:
        """Longest chain of transfers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """An algorithm whose module takes numbers, with these."""

    name: str
    module: Any
    numbers: tuple[int, ...]

    @property
    def OPERATION(self) -> str:  # noqa: N802, a constant of the module
        """What it does."""
        return str(self.module.OPERATION)

    def emit(self, exchange: Exchange, ready: Ready) -> list[Tasks]:
        """Append the tasks; return each rank's last ones."""
        found: list[Tasks] = self.module.emit(exchange, ready, *self.numbers)
        return found

    def cost_ps(self, elements: int, prices: Prices) -> int:
        """Time of one uncontended run."""
        return int(self.module.cost_ps(elements, prices, *self.numbers))

    def steps(self, ranks: int) -> int:
        """Longest chain of transfers.

        Raises
        ------
        PlanError
            When the numbers do not suit so many ranks.
        """
        return int(self.module.steps(ranks, *self.numbers))

    @property
    def symmetry(self) -> Callable[[int], Symmetry] | None:
        """What turns one rank into another, None where they do not all do alike."""
        own = getattr(self.module, "symmetry", None)
        return own and (lambda ranks: own(ranks, *self.numbers))

    def busbw_factor(self, ranks: int) -> float:
        """What a rank's link carries of the array."""
        own = getattr(self.module, "busbw_factor", None)
        return float(own(ranks, *self.numbers)) if own else busbw_factor(self.OPERATION, ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class BySize:
    """Algorithms that take turns as arrays grow: ``tree@1024@ring`` is a tree below 1,024 elements.

    What is asked for a number of elements is asked of the one that runs them.
    """

    names: tuple[str, ...]
    """For small arrays first."""
    limits: tuple[int, ...]
    """Elements from which on the next name holds."""

    OPERATION = "all_reduce"

    def name_at(self, elements: int) -> str:
        """Return the algorithm of so many elements."""
        return self.names[bisect_right(self.limits, elements)]

    def emit(self, exchange: Exchange, ready: Ready) -> list[Tasks]:
        """Append the tasks; return each rank's last ones."""
        return algorithm(self.name_at(exchange.elements)).emit(exchange, ready)

    def cost_ps(self, elements: int, prices: Prices) -> int:
        """Time of one uncontended run."""
        return algorithm(self.name_at(elements)).cost_ps(elements, prices)

    def steps(self, ranks: int) -> int:
        """Longest chain of transfers, of the algorithm that has most."""
        return max(algorithm(name).steps(ranks) for name in self.names)


def name_by_size(names: Sequence[str], limits: Sequence[int]) -> str:
    """Return the name of algorithms that take turns from so many elements on.

    >>> name_by_size(["double_binary_tree", "ring"], [1024]), name_by_size(["ring"], [])
    ('double_binary_tree@1024@ring', 'ring')
    """
    return (
        "".join(f"{name}@{limit}@" for name, limit in zip(names, limits, strict=False)) + names[-1]
    )


def name_at(name: str, elements: int) -> str:
    """Return the name of the algorithm that runs so many elements.

    >>> name_at("tree@1024@ring", 1023), name_at("tree@1024@ring", 1024), name_at("ring", 5)
    ('tree', 'ring', 'ring')
    """
    found = algorithm(name) if TURN in name else None
    return found.name_at(elements) if isinstance(found, BySize) else name


def turns(name: str) -> list[tuple[str, int]]:
    """Return the algorithms that a name stands for, each with the elements from which it runs.

    >>> turns("tree@1024@ring"), turns("ring")
    ([('tree', 0), ('ring', 1024)], [('ring', 0)])
    """
    found = algorithm(name) if TURN in name else None
    if not isinstance(found, BySize):
        return [(name, 0)]
    return list(zip(found.names, (0, *found.limits), strict=True))


def _by_size(name: str) -> BySize:
    parts = name.split(TURN)
    names_, limits = parts[::2], parts[1::2]
    whole = [int(text) for text in limits if re.fullmatch("[1-9][0-9]{0,17}", text)]
    if len(names_) != len(limits) + 1 or len(whole) < len(limits) or whole != sorted(set(whole)):
        raise PlanError(
            f"algorithm {name!r}: expected names with rising numbers of elements between them, such"
            " as tree@1024@ring, from which on the next one holds"
        )
    for part in names_:
        algorithm(part)
    return BySize(names=tuple(names_), limits=tuple(whole))


@cache
def algorithm_names(operation: str = "all_reduce") -> list[str]:
    """Return the algorithms without numbers that do ``operation``; a plan may use an all-reduce."""
    every = names("planner.collectives")
    return [s for s in every if operation == _module(s).OPERATION and not _takes_numbers(s)]


@cache
def numbered_names(operation: str = "all_reduce") -> list[str]:
    """Return the algorithms that take numbers."""
    every = names("planner.collectives")
    return [s for s in every if operation == _module(s).OPERATION and _takes_numbers(s)]


def is_switched(name: str) -> bool:
    """Whether an algorithm needs a switch that adds between its ranks, be it for some sizes."""
    parts = (part for part, _ in turns(name))
    return any(hasattr(_module(part.partition(":")[0]), "SWITCHED") for part in parts)


@cache
def algorithm(name: str) -> Algorithm:
    """Return the algorithm called ``name``, its numbers after a colon, or several by size.

    Raises
    ------
    PlanError
        When there is none, or its numbers are none.
    """
    if TURN in name:
        return _by_size(name)
    stem, colon, text = name.partition(":")
    known = names("planner.collectives")
    module = _module(lookup("collective algorithm", stem, known, error=PlanError))
    if not colon:
        return module
    parts = text.split("x")
    if not _takes_numbers(stem) or not all(re.fullmatch("[1-9][0-9]{0,8}", n) for n in parts):
        told = getattr(module, "NUMBERS", "")
        wanted = f"{told} after the colon" if told else "a name without numbers"
        raise PlanError(f"algorithm {name!r}: expected {wanted}, got {text!r}")
    return Numbered(name=name, module=module, numbers=tuple(map(int, parts)))


def plan_algorithm(where: str, name: str) -> str:
    """Return the name of an all-reduce that a plan may use.

    Raises
    ------
    PlanError
        Naming the nearest ones that there are, or what the numbers of this one are.
    """
    known = [*algorithm_names(), *numbered_names()]
    for part in name.split(TURN)[::2]:
        lookup(where, part.partition(":")[0], known, error=PlanError)
    algorithm(name)
    return name


def fits(name: str, ranks: int) -> bool:
    """Whether the numbers of an algorithm suit so many ranks."""
    try:
        algorithm(name).steps(ranks)
    except PlanError:
        return False
    return True


@cache
def _module(stem: str) -> Algorithm:
    return cast("Algorithm", import_module(f"planner.collectives.{stem}"))


def _takes_numbers(stem: str) -> bool:
    return hasattr(_module(stem), "NUMBERS")


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


def carried_frac(name: str, ranks: int) -> float:
    """What a rank's link carries of the array: the bus factor, or more as the algorithm claims.

    >>> carried_frac("all_to_all", 8), carried_frac("bruck_all_to_all", 8)
    (0.875, 1.5)
    """
    found = algorithm(name)
    own = getattr(found, "busbw_factor", None)
    return float(own(ranks)) if own else busbw_factor(found.OPERATION, ranks)


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

"""What a collective algorithm is given, and what it owes.

An algorithm is a module with

- ``emit(exchange, ready)``: append its transfers and additions; return, by rank, the tasks after
  which that rank's copy is final and free to change;
- ``cost_ps(elements, prices)``: time of one uncontended run, all ranks ready at 0, in whole
  picoseconds;
- ``loads(elements, prices)``: what each rank's lanes are busy for, whoever waits for whom;
- ``landing_elements(elements, ranks, rank)``: the widest arrival that a rank has to add;
- ``steps(ranks)`` and ``busbw_factor(ranks)``: its claims (nccl-tests, doc/PERFORMANCE.md).

Closed forms are integers of picoseconds, rounded where ``lower`` rounds, so that
``simulated >= closed form >= bound`` holds without a tolerance; :func:`cost_s` gives seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Protocol, cast

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from hwprofiles.units import PS_PER_S

Tasks = tuple[int, ...]


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

    def send(
        self, src: int, dst: int, span: tuple[int, int], *, after: Tasks, landing: bool
    ) -> int:
        """Move ``span`` from ``src`` to ``dst``, into its landing register or in place."""
        ...

    def add(self, rank: int, span: tuple[int, int], arrived: int, *, after: Tasks) -> int:
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


class Algorithm(Protocol):
    """The module of a collective algorithm."""

    def emit(self, exchange: Exchange, ready: Sequence[Tasks]) -> list[Tasks]:
        """Append the tasks; return each rank's last ones."""
        ...

    def cost_ps(self, elements: int, prices: Prices) -> int:
        """Time of one uncontended run."""
        ...

    def loads(self, elements: int, prices: Prices) -> list[Load]:
        """Busy time of each rank."""
        ...

    def landing_elements(self, elements: int, ranks: int, rank: int) -> int:
        """Widest arrival that ``rank`` has to add; 0 where none lands."""
        ...

    def steps(self, ranks: int) -> int:
        """Longest chain of transfers."""
        ...

    def busbw_factor(self, ranks: int) -> float:
        """Bus bandwidth over algorithm bandwidth."""
        ...


def algorithm_names() -> list[str]:
    """Return the algorithms there are."""
    return names("planner.collectives")


def algorithm(name: str) -> Algorithm:
    """Return the module of the algorithm called ``name``."""
    stem = lookup("collective algorithm", name, algorithm_names(), error=PlanError)
    return cast("Algorithm", import_module(f"planner.collectives.{stem}"))


def cost_s(name: str, elements: int, prices: Prices) -> float:
    """Time of one uncontended all-reduce of ``elements``, seconds."""
    return algorithm(name).cost_ps(elements, prices) / PS_PER_S


def chunk_spans(elements: int, ranks: int) -> list[tuple[int, int]]:
    """Cut ``elements`` into ``ranks`` nearly equal spans.

    >>> chunk_spans(10, 4)
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    edges = [i * elements // ranks for i in range(ranks + 1)]
    return list(pairwise(edges))

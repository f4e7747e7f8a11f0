"""Collective algorithms by name: with numbers after a colon, or taking turns by size."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup, names
from hwprofiles.units import PS_PER_S
from planner.collectives._symmetry import Symmetry
from planner.collectives.base import Exchange, Prices, Ready, Tasks, busbw_factor

TURN = "@"
"""Between the names of algorithms, and the numbers of elements, that take turns by size."""


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


def carried_frac(name: str, ranks: int) -> float:
    """What a rank's link carries of the array: the bus factor, or more as the algorithm claims.

    >>> carried_frac("all_to_all", 8), carried_frac("bruck_all_to_all", 8)
    (0.875, 1.5)
    """
    found = algorithm(name)
    own = getattr(found, "busbw_factor", None)
    return float(own(ranks)) if own else busbw_factor(found.OPERATION, ranks)

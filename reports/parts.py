"""What a section is made of; the templates know nothing else."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from reports.case import Case, Cases
from reports.tables import Table

ROW_PT = 480
"""Wider figures have nothing beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure with its caption."""

    caption: str
    svg: str

    @property
    def is_wide(self) -> bool:
        """Whether it takes a row of its own."""
        found = re.search(r"--natural: (\d+)pt", self.svg)
        return found is not None and int(found[1]) > ROW_PT


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Paragraphs, then points, commands, figures and tables; any of them may be missing."""

    title: str = ""
    """Which plan of a comparison it is about, if it is about one."""
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()


Section = tuple[Block, ...]
"""One block, or one for each plan of a comparison; without blocks there is nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the few numbers at the top of the page."""

    title: str
    value: str
    note: str = ""


def each(cases: Cases, build: Callable[[Case], Block | None]) -> Section:
    """Return the block of every case that has one, under its name where there are several cases.

    What is the same for several cases is said once, under the names of all of them.
    """
    found: list[tuple[Block, list[str]]] = []
    for case in cases:
        block = build(case)
        same = next((names for other, names in found if other == block), None)
        if same is not None:
            same.append(case.name)
        elif block is not None:
            found.append((block, [case.name]))
    if len(found) == 1 and len(found[0][1]) == len(cases):
        return (found[0][0],)
    return tuple(replace(block, title=", ".join(names)) for block, names in found)

"""What an algorithm is to memory and to the number of tasks: moves, chunks that land, and how wide.

Where ranks are alike, the moves of one stand for all, whatever the fabric.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from hwprofiles.units import Ints
from planner.collectives.base import algorithm, algorithm_names
from planner.emitted import ELEMENTS, emitted, emitted_fold, symmetry
from planner.moves import Groups, block_edges, moves_of, span_widths


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landings:
    """The additions of an algorithm."""

    ranks: int
    moves: int
    """Transfers and additions in all."""
    arrivals: int
    """Chunks that land at the rank where most do."""
    blocks: int
    rank: Ints
    first: Ints
    end: Ints
    """Distinct additions: who adds, and which blocks."""

    @property
    def shape(self) -> tuple[object, ...]:
        """What is equal for algorithms that do the same."""
        counts = self.moves, self.arrivals, self.blocks
        return (*counts, *(array.tobytes() for array in (self.rank, self.first, self.end)))

    def widths(self, sizes: Sequence[int]) -> Ints:
        """Return the widest addition of each rank in an exchange of each size, shape (ranks, N)."""
        width = span_widths(block_edges(self.blocks, sizes), self.first, self.end)
        return Groups.of(self.rank).by_key(np.maximum, width, self.ranks, 0)

    def added(self, elements: int) -> list[int]:
        """Return the distinct widths of the additions in an exchange of so many elements."""
        edges = block_edges(self.blocks, [elements])
        found: list[int] = np.unique(span_widths(edges, self.first, self.end)).tolist()
        return found


@cache
def landings(name: str, ranks: int) -> Landings:
    """Return the additions of an algorithm on so many ranks."""
    found = symmetry(name, ranks)
    if found is None:
        return _of_all(name, ranks)
    folded = emitted_fold(name, ranks, (1,) * len(found.sizes))
    fold, rows = folded.fold, []
    adds = [(o, s) for o, s in zip(folded.orbits, folded.spans, strict=True) if o.arrived >= 0]
    for orbit, (first, end) in adds:
        begins = fold.block_members(range(first, end))
        rows.append(np.stack([fold.members(orbit.dst), begins, begins + end - first], axis=1))
    rank, first, end = _distinct(np.concatenate(rows))
    return Landings(
        ranks=ranks,
        moves=len(folded.orbits) * fold.order,
        arrivals=len(adds),
        blocks=fold.block_count,
        rank=rank,
        first=first,
        end=end,
    )


@lru_cache(maxsize=256)
def widest_landings(name: str, ranks: int, sizes: tuple[int, ...]) -> Ints:
    """Return the widest addition of each rank in an exchange of each size, shape (ranks, N)."""
    return landings(name, ranks).widths(sizes)


def _of_all(name: str, ranks: int) -> Landings:
    """Return the additions of an algorithm whose ranks are not alike."""
    found = emitted(name, ranks)
    adds = np.array([(m.src, m.first, m.end) for m in found.moves if m.adds], dtype=np.int64)
    rank, first, end = _distinct(adds)
    return Landings(
        ranks=ranks,
        moves=len(found.moves),
        arrivals=int(np.bincount(adds[:, 0]).max()),
        blocks=found.blocks,
        rank=rank,
        first=first,
        end=end,
    )


def _distinct(rows: Ints) -> Ints:
    """Return the distinct rows, transposed."""
    base = int(rows.max()) + 1
    keys = np.unique((rows[:, 0] * base + rows[:, 1]) * base + rows[:, 2])
    above, end = np.divmod(keys, base)
    rank, first = np.divmod(above, base)
    return np.stack([rank, first, end])


@cache
def distinct_names(ranks: int) -> list[str]:
    """Return the all-reduces that differ on so many ranks; of equal ones the shortest name.

    >>> distinct_names(2)
    ['ring', 'star']
    """
    by_shape: dict[object, list[str]] = {}
    for name in sorted(algorithm_names(), key=lambda name: (len(name), name)):
        found = landings(name, ranks)
        by_shape.setdefault((algorithm(name).steps(ranks), found.shape), []).append(name)
    kept: list[str] = []
    for names in by_shape.values():
        programs = {_program(name, ranks) if len(names) > 1 else b"": name for name in names[::-1]}
        kept += programs.values()
    return sorted(kept)


def _program(name: str, ranks: int) -> bytes:
    """Return what is equal for equal programs."""
    moves = moves_of(name, ranks)
    first, end = moves.spans[moves.span_of].T * ELEMENTS // moves.blocks
    return np.stack([moves.src, moves.dst, first, end]).tobytes()

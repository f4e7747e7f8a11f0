"""What lands to be added where, and how many moves there are: of all ranks, told by one if it can.

Where one rank stands for all, only its moves are emitted, and every turn of them is counted: the
same numbers as from the moves of all ranks, on many ranks much sooner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from hwprofiles.units import Ints
from planner.algorithms import algorithm, algorithm_names, turns
from planner.emission import ELEMENTS, script_of
from planner.folded_moves import FOLD_FROM_RANKS
from planner.folded_script import emitted_fold, symmetry
from planner.groups import Groups
from planner.moves import block_edges, by_name


@dataclass(frozen=True, eq=False, kw_only=True)
class Landings:
    """The additions of an algorithm on so many ranks."""

    moves: int
    """Number of its moves: additions and transfers."""
    channels: int
    blocks: int
    first: Ints
    end: Ints
    """Blocks that each addition adds."""
    by_seat: Groups
    """Additions by where they landed: rank x channels + channel."""

    @property
    def most(self) -> int:
        """Return how many land in the register where most do."""
        return int(self.by_seat.sizes.max(initial=0))

    @cached_property
    def _by_blocks(self) -> tuple[Groups, Ints, Groups]:
        """Additions of as many blocks at a seat; how many blocks; these groups by seat."""
        seats = np.empty(len(self.first), dtype=np.int64)
        seats[self.by_seat.order] = np.repeat(self.by_seat.keys, self.by_seat.sizes)
        alike = Groups.of(seats * (self.blocks + 1) + self.end - self.first)
        seat, blocks = np.divmod(alike.keys, self.blocks + 1)
        return alike, blocks, Groups.of(seat)

    def widest(self, sizes: Sequence[int], seats: int) -> Ints:
        """Return the widest addition at each of so many seats, for each size, (seats, N).

        A span of so many blocks has as many times the whole part of an element a block, and what
        the remainder makes of it; remainders are far fewer than sizes.
        """
        whole, left = np.divmod(np.array(sizes, dtype=np.int64), self.blocks)
        remainders, which = np.unique(left, return_inverse=True)
        edges = block_edges(self.blocks, remainders.tolist())
        alike, blocks, by_seat = self._by_blocks
        more = alike.reduce(np.maximum, edges[self.end] - edges[self.first])
        width = blocks[:, None] * whole + more[:, which.reshape(-1)]
        return by_seat.by_key(np.maximum, width, seats, 0)


@cache
def landings_of(name: str, ranks: int) -> Landings:
    """Return the additions of an algorithm that is the same for all sizes."""
    found = symmetry(name, ranks) if ranks >= FOLD_FROM_RANKS else None
    return _of_all(name, ranks) if found is None else _of_one(name, ranks)


def _of_all(name: str, ranks: int) -> Landings:
    script = script_of(algorithm(name).emit, ranks)
    adds, channels = script.adds, script.channels
    return Landings(
        moves=len(script.src),
        channels=channels,
        blocks=script.blocks,
        first=script.first[adds],
        end=script.end[adds],
        by_seat=Groups.of((script.src * channels + script.channel)[adds]),
    )


def _of_one(name: str, ranks: int) -> Landings:
    """Return the turns of the additions of the rank that stands for all."""
    emitted = emitted_fold(name, ranks)
    fold, orbits = emitted.fold, emitted.orbits
    channels = 1 + max(orbit.channel for orbit in orbits)
    first, width, seat, members = [], [], [], cache(fold.members)
    for orbit, (begin, end) in zip(orbits, emitted.spans, strict=True):
        if orbit.arrived >= 0:
            first.append(fold.block_members(range(begin, end)))
            width.append(end - begin)
            channel = fold.channel_members(orbits[orbit.arrived].channel)
            seat.append(members(orbit.dst) * channels + channel)
    begins = np.concatenate([np.zeros(0, dtype=np.int64), *first])
    return Landings(
        moves=len(orbits) * fold.order,
        channels=channels,
        blocks=fold.block_count,
        first=begins,
        end=begins + np.repeat(np.array(width, dtype=np.int64), fold.order),
        by_seat=Groups.of(np.concatenate([np.zeros(0, dtype=np.int64), *seat])),
    )


def landing_widths(name: str, ranks: int, sizes: Sequence[int]) -> Ints:
    """Return the widest addition of each rank in an exchange of each size.

    Shape (ranks, channels, N).
    """
    parts = {part: (landings_of(part, ranks), some) for part, some in by_name(name, sizes).items()}
    channels = max((landings.channels for landings, _ in parts.values()), default=1)
    found = np.zeros((ranks, channels, len(sizes)), dtype=np.int64)
    columns = {elements: i for i, elements in enumerate(sizes)}
    for landings, some in parts.values():
        own = landings.channels
        widest = landings.widest(some, ranks * own)
        at = [columns[elements] for elements in some]
        found[:, :own, at] = widest.reshape(ranks, own, -1)
    return found


def added_widths(name: str, ranks: int, elements: int) -> list[int]:
    """Return the distinct widths of the additions in one exchange of ``elements``."""
    (part,) = by_name(name, [elements])
    landings = landings_of(part, ranks)
    edges = block_edges(landings.blocks, [elements])[:, 0]
    found: list[int] = np.unique(edges[landings.end] - edges[landings.first]).tolist()
    return found


@cache
def arrivals(name: str, ranks: int) -> int:
    """Return how many chunks land in the register where most do, in one exchange."""
    return max(landings_of(part, ranks).most for part, _ in turns(name))


@cache
def distinct_names(ranks: int) -> list[str]:
    """Return the all-reduces that differ on so many ranks; of equal ones the shortest name.

    >>> distinct_names(2)
    ['ring', 'star']
    """
    alike: dict[tuple[int, int], list[str]] = {}
    for name in sorted(algorithm_names(), key=lambda name: (len(name), name)):
        key = algorithm(name).steps(ranks), landings_of(name, ranks).moves
        alike.setdefault(key, []).append(name)
    kept: list[str] = []
    for names in alike.values():
        several = len(names) > 1
        kept += {_program(n, ranks) if several else (): n for n in reversed(names)}.values()
    return sorted(kept)


def _program(name: str, ranks: int) -> tuple[bytes, ...]:
    """Return what is equal for equal programs."""
    script = script_of(algorithm(name).emit, ranks)
    spans = (script.first * ELEMENTS // script.blocks, script.end * ELEMENTS // script.blocks)
    return tuple(array.tobytes() for array in (script.src, script.dst, *spans))

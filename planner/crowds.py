"""Transfers of several pairs that cross a link near each other, and the moves that wait for all.

A chain of moves is as long as if each were alone. A move that waits for all transfers of a *crowd*
starts no earlier than when the link has carried the bytes of all, counted from when the first of
these can begin to flow; and what follows a move that all of a crowd wait for takes at least as long
as the link carries them, and the least that follows one of them. So a step that several ranks make
over one uplink takes as long as their bytes, in any order, whatever else there is to do.

Index letters as in ``planner.moves``; S transfers of a crowd.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwprofiles.units import Ints
from planner.crossings import Crossed, Routes, crossing_ps
from planner.moves import Bools, Moves

NEAR = 2
"""Levels of moves that cross a link: so many that follow one another make a crowd."""

MOST_DEVICES, MOST_MOVES = 16, 800
"""On larger clusters, or of more moves, chains are enough: they are sooner found."""

Held = Mapping[int, Sequence[tuple[int, Ints]]]
"""By level: crowds, and the moves there that wait for them, or that they wait for."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Crowds:
    """The crowds of an algorithm on the ranks of a placement."""

    crowds: Sequence[Ints] = ()
    """Moves of each."""
    bytes_per_s: Sequence[float] = ()
    """By crowd: rate of the link."""
    after: Held = field(default_factory=dict)
    """By forward level: first moves that wait for all of a crowd."""
    before: Held = field(default_factory=dict)
    """By backward level: last moves that all of a crowd wait for."""

    @classmethod
    def of(cls, moves: Moves, crossed: Crossed, routes: Routes) -> "Crowds":
        """Find them."""
        if crossed.switched or not tells_waits(moves, len(routes.cluster.devices)):
            return cls()
        slowest: dict[tuple[int, ...], float] = {}
        for link, rate in enumerate(crossed.rate.tolist()):
            for near in _near(moves, crossed.moves_of(moves, link)):
                slowest[near] = min(rate, slowest.get(near, rate))
        found = ((np.array(some), rate) for some, rate in slowest.items())
        kept = [(some, rate) for some, rate in found if _is_crowded(moves, some, rate, routes)]
        return cls(
            crowds=[some for some, _ in kept],
            bytes_per_s=[rate for _, rate in kept],
            after=_by_level(moves.level, [_first_after(moves, some) for some, _ in kept]),
            before=_by_level(moves.back_level, [_last_before(moves, some) for some, _ in kept]),
        )

    def on(self, width: Ints, idle_ps: Ints, duration_ps: Ints, item_bytes: int) -> "Crowding":
        """Return what they do in buckets of some sizes; all arrays are (T, N)."""
        work_ps = [
            crossing_ps(width[some].sum(axis=0) * item_bytes, rate)
            for some, rate in zip(self.crowds, self.bytes_per_s, strict=True)
        ]
        return Crowding(crowds=self, work_ps=work_ps, idle_ps=idle_ps, duration_ps=duration_ps)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Crowding:
    """How crowds hold moves back in buckets of some sizes."""

    crowds: Crowds
    work_ps: Sequence[Ints]
    """By crowd: how long the link takes with it, (N,)."""
    idle_ps: Ints
    duration_ps: Ints
    """(T, N) of each move alone, and the part of it in which no byte moves."""

    def starts(self, level: int, end_ps: Ints) -> None:
        """Put off what waits for a crowd; ``end_ps`` are final below the level."""
        for number, moves in self.crowds.after.get(level, ()):
            some, duration = self.crowds.crowds[number], self.duration_ps
            begun = (end_ps[some] - duration[some] + self.idle_ps[some]).min(axis=0)
            held = begun + self.work_ps[number] + duration[moves]
            end_ps[moves] = np.maximum(end_ps[moves], held)

    def rests(self, level: int, rest_ps: Ints) -> None:
        """Lengthen what follows moves that a crowd waits for; ``rest_ps`` includes moves."""
        for number, moves in self.crowds.before.get(level, ()):
            some, duration = self.crowds.crowds[number], self.duration_ps
            followed = (rest_ps[some] - duration[some]).min(axis=0)
            held = self.idle_ps[some].min(axis=0) + self.work_ps[number] + followed
            rest_ps[moves] = np.maximum(rest_ps[moves], held + duration[moves])

    def longest_ps(self, head_ps: Ints, tail_ps: Ints) -> Ints:
        """Return the longest of: what precedes a crowd, its work, what follows, (N,)."""
        found = np.zeros(head_ps.shape[1], dtype=np.int64)
        for some, work_ps in zip(self.crowds.crowds, self.work_ps, strict=True):
            begun = (head_ps[some] + self.idle_ps[some]).min(axis=0)
            found = np.maximum(found, begun + work_ps + tail_ps[some].min(axis=0))
        return found


def tells_waits(moves: Moves, devices: int) -> bool:
    """Whether it is worked out, on a cluster of so many devices, which moves wait for which."""
    return devices <= MOST_DEVICES and moves.count <= MOST_MOVES


def _near(moves: Moves, some: Ints) -> Iterator[tuple[int, ...]]:
    """Yield those of the transfers over a link that lie near each other, of several pairs."""
    level = moves.level[some]
    levels = np.unique(level)
    for place, first in enumerate(levels.tolist()):
        for last in levels[place : place + NEAR].tolist():
            near = some[(level >= first) & (level <= last)]
            if len(np.unique(moves.pair_of[near])) > 1:
                yield tuple(near.tolist())


def _is_crowded(moves: Moves, some: Ints, bytes_per_s: float, routes: Routes) -> bool:
    """Whether the link takes longer with all of them than the slowest does alone."""
    blocks = (moves.end - moves.first)[some]
    ends = zip(moves.src[some].tolist(), moves.dst[some].tolist(), strict=True)
    alone = max(
        n / routes.route(*pair).bandwidth_bytes_per_s for n, pair in zip(blocks, ends, strict=True)
    )
    return bool(blocks.sum() / bytes_per_s > alone)


def _first_after(moves: Moves, some: Ints) -> Ints:
    """Return the moves that wait for all of some, and for no other move that does."""
    chosen = np.logical_and.reduce(moves.waits_for[:, some], axis=1)
    return _frontier(chosen, moves.waited, moves.waiting)


def _last_before(moves: Moves, some: Ints) -> Ints:
    """Return the moves that all of some wait for, and that no other such move waits for."""
    chosen = np.logical_and.reduce(moves.waits_for[some], axis=0)
    return _frontier(chosen, moves.waiting, moves.waited)


def _frontier(chosen: Bools, near: Ints, far: Ints) -> Ints:
    """Return the chosen moves that no chosen one leads to; edges go from ``near`` to ``far``."""
    outer = chosen.copy()
    outer[far[chosen[near]]] = False
    return np.flatnonzero(outer)


def _by_level(level: Ints, of_crowds: Sequence[Ints]) -> Held:
    found: dict[int, list[tuple[int, Ints]]] = {}
    for crowd, moves in enumerate(of_crowds):
        for place in np.unique(level[moves]).tolist():
            found.setdefault(place, []).append((crowd, moves[level[moves] == place]))
    return found

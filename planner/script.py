"""Scripts: the moves of an algorithm on so many ranks, noted once for arrays of every size.

Whatever is exchanged, an algorithm makes the same moves in the same order; only its blocks are
wider. Who writes them as tasks, or bounds them, works on arrays. Index letters: T moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwprofiles.units import Ints
from planner.awaited import TaskSets
from planner.collectives.base import Tasks


@dataclass(frozen=True, eq=False, kw_only=True)
class Script:
    """The transfers and additions of an algorithm."""

    ranks: int
    blocks: int
    channels: int
    src: Ints
    dst: Ints
    """(T,) ranks, or their number for a switch; equal for an addition."""
    first: Ints
    end: Ints
    """(T,) blocks."""
    channel: Ints
    lands: Ints
    """(T,) 1 where it lands to be added, else 0."""
    arrived: Ints
    """(T,) the transfer whose arrival is added, -1 for a transfer."""
    waits: Ints
    waiting: Ints
    """What is waited for, a move or a token, and by which move: both ascending, nothing twice."""
    last: tuple[Tasks, ...]
    """By rank: moves, or tokens, after which its copy is final, ascending."""

    @cached_property
    def adds(self) -> Ints:
        """Moves that are additions."""
        return np.flatnonzero(self.arrived >= 0)

    @cached_property
    def summed(self) -> Ints:
        """(T,) 1 for an addition, else 0."""
        return (self.arrived >= 0).astype(np.int64)

    @cached_property
    def sends(self) -> Ints:
        """Moves that are transfers."""
        return np.flatnonzero(self.arrived < 0)

    @cached_property
    def first_sends(self) -> Ints:
        """Transfers that wait for no move: the first of the lanes they hold."""
        waits = np.zeros(len(self.src), dtype=np.bool_)
        waits[self.waiting[self.waits >= 0]] = True
        return np.flatnonzero(~waits)

    @cached_property
    def pairs(self) -> Ints:
        """(T,) source x (ranks + 1) + destination."""
        return self.src * (self.ranks + 1) + self.dst

    @cached_property
    def spans(self) -> tuple[Ints, Ints]:
        """(S, 2) first and last block of what is moved; (T,) which of them a move has."""
        keys = self.first * (self.blocks + 1) + self.end
        found, span_of = np.unique(keys, return_inverse=True)
        return np.stack(np.divmod(found, self.blocks + 1), axis=1), span_of

    @cached_property
    def seats(self) -> tuple[Ints, Ints]:
        """Seats, rank x channels + channel, where anything lands; by transfer that lands, which."""
        lands = np.flatnonzero(self.lands)
        seat = self.dst[lands] * self.channels + self.channel[lands]
        seats, seat_of = np.unique(seat, return_inverse=True)
        return seats, seat_of

    @cached_property
    def last_sets(self) -> tuple[TaskSets, TaskSets]:
        """By rank: those of ``last`` that are moves, and tokens, by the places of their kind."""
        moves = [tuple(wait for wait in waits if wait >= 0) for waits in self.last]
        tokens = [tuple(-1 - wait for wait in waits if wait < 0) for waits in self.last]
        return TaskSets.of(moves), TaskSets.of(tokens)

    @cached_property
    def last_adds(self) -> tuple[Ints, Ints]:
        """Ranks that add, and the last addition of each."""
        ranks, at = np.unique(self.src[self.adds][::-1], return_index=True)
        return ranks, self.adds[len(self.adds) - 1 - at]

    @cached_property
    def actors(self) -> Ints:
        """(T,) number of the actor: messages of one pair, additions of one span at a rank."""
        spans = self.first * (self.blocks + 1) + self.end
        sums = (self.src * (self.blocks + 1) ** 2 + spans + 1) * -1
        keys = np.where(self.arrived < 0, self.pairs, sums)
        _, at, actor_of = np.unique(keys, return_index=True, return_inverse=True)
        place = np.empty_like(at)
        place[np.argsort(at)] = np.arange(len(at))  # numbered as they come into use
        return place[actor_of]

    @cached_property
    def actor_count(self) -> int:
        """Number of actors."""
        return int(self.actors.max(initial=-1)) + 1

    @cached_property
    def awaited(self) -> tuple[TaskSets, Ints, Ints]:
        """What moves wait for: sets of tokens, which moves wait for any, and for which set.

        A token stands there as its place: -1 is 0.
        """
        count, tokens = len(self.src), self.waits < 0
        taken = np.bincount(self.waiting[tokens], minlength=count)
        first = np.cumsum(taken) - taken
        set_of, found = np.zeros(count, dtype=np.int64), self.waits[tokens]
        for turn in range(int(taken.max(initial=0))):
            more = taken > turn
            key = np.zeros(count, dtype=np.int64)
            key[more] = found[first[more] + turn]
            _, set_of = np.unique(set_of * (2 * self.ranks + 1) - key, return_inverse=True)
        _, at = np.unique(set_of, return_index=True)
        sets = TaskSets(taken, -1 - found).take(at)
        some = np.flatnonzero(taken)
        return sets, some, set_of[some]

    @cached_property
    def awaited_moves(self) -> tuple[Ints, Ints]:
        """(T,) how many moves each waits for, and which, one after the other."""
        moves = self.waits >= 0
        return np.bincount(self.waiting[moves], minlength=len(self.src)), self.waits[moves]

    def edges(self, elements: int) -> Ints:
        """Return where the blocks of an array begin, and where the last one ends."""
        return np.arange(self.blocks + 1, dtype=np.int64) * elements // self.blocks

    def landing(self, elements: int) -> Ints:
        """Return the widest arrival that is added, by rank and channel, (ranks, channels)."""
        edges, found = self.edges(elements), np.zeros((self.ranks, self.channels), dtype=np.int64)
        adds = self.adds
        width = edges[self.end[adds]] - edges[self.first[adds]]
        np.maximum.at(found, (self.src[adds], self.channel[adds]), width)
        return found

    @cached_property
    def turns(self) -> Ints:
        """By transfer that lands, how many landed before it by its channel, shape (T,)."""
        found, landing = np.zeros_like(self.src), np.flatnonzero(self.lands)
        seat = (self.dst * self.channels + self.channel)[landing]
        order = np.argsort(seat, kind="stable")
        starts = np.flatnonzero(np.diff(seat[order], prepend=-1))
        counts = np.diff(starts, append=len(order))
        found[landing[order]] = np.arange(len(order)) - np.repeat(starts, counts)
        return found


def script_from(
    ranks: int,
    blocks: int,
    columns: Sequence[Ints],
    lengths: Ints,
    waits: Ints,
    last: Sequence[Sequence[int]],
) -> Script:
    """Return a script from its moves.

    Parameters
    ----------
    columns : arrays, each (T,)
        ``src``, ``dst``, ``first``, ``end``, ``channel``, ``lands`` and ``arrived``.
    lengths : int array, shape (T,)
        How much each move waits for: its part of ``waits``, in any order.
    """
    src, dst, first, end, channel, lands, arrived = columns
    offset = 2 * ranks  # tokens are below 0
    keys = np.sort((np.repeat(np.arange(len(src)), lengths) << 32) + waits + offset)
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return Script(
        ranks=ranks,
        blocks=blocks,
        channels=int(channel.max(initial=0)) + 1,
        src=src,
        dst=dst,
        first=first,
        end=end,
        channel=channel,
        lands=lands,
        arrived=arrived,
        waits=(keys & 0xFFFFFFFF) - offset,
        waiting=keys >> 32,
        last=tuple(tuple(sorted(tasks)) for tasks in last),
    )

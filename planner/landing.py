"""Where the buckets of a gradient land in the arena of a worker, and which of them wait for which.

A bucket may land once its last gradient on this worker is there, above what the passes use from
then on. Landing registers lie one below the other, in turn, from the top of a room; where the next
one finds no place it begins at the top again, and its first arrival waits until those whose bytes
it takes have been added up. Such a room is what the largest needs alone and ``SLACK_FRAC`` of the
arena more.

Waiting for a bucket that was added up long ago costs no time; waiting for one that is still under
way does, where the network is slow. So all lie side by side if that takes hardly more
(``CHEAP_FRAC``), or somewhat more (``WORTH_FRAC``) where the room would not even hold ``IN_A_ROW``
buckets that follow one another, and if no more than ``SLACK_FRAC`` of that is never alive.
"""

from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints

SLACK_FRAC = 1 / 16
"""What room for several buckets at once may add to an arena: with gaps it stays below a tenth. With
1/4 arenas of GPT-2 were up to 1.22 times what may be alive."""
CHEAP_FRAC, WORTH_FRAC = 1 / 8, 1 / 5
"""What not to wait may add to an arena: GPT-2 needs 0.11 in a ring and in double binary trees,
AlexNet 0.18 at most."""
IN_A_ROW = 4
"""Buckets that follow one another and are often under way at once."""
LINE_BYTES = 64
"""Rooms are cut to lines, as registers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What landing registers find on a worker, whatever their sizes."""

    free_from: Ints
    """(B,) by bucket: the byte of the frame from which on nothing else is in use, descending."""
    held_bytes: Ints
    """(B,) by bucket: the most that is alive of the frame from then on."""
    frame_bytes: int
    kept_bytes: int
    """What lives from step to step, beside the frame."""

    def top(self, landed: Ints) -> Ints:
        """Return the byte at which landing ends.

        Parameters
        ----------
        landed : int array, shape (..., B)
            What the first b + 1 buckets land; where candidates differ in B, the last column
            repeats.

        Notes
        -----
        Side by side the later of two buckets lies lower, at the first byte that is free to it, so
        bucket b and those before it lie above ``free_from[b]``.
        """
        apart: Ints = self._holding(landed, landed.shape[-1])
        alone = np.maximum(self._holding(landed, 1), self.frame_bytes)
        arena = self.kept_bytes + alone
        slack = (arena * SLACK_FRAC).astype(np.int64)
        shared = alone + slack // LINE_BYTES * LINE_BYTES
        would_hurt = self._holding(landed, IN_A_ROW) > shared
        worth = alone + arena * np.where(would_hurt, WORTH_FRAC, CHEAP_FRAC)
        alive = self.kept_bytes + (self.held_bytes + landed).max(axis=-1)
        is_filled = self.kept_bytes + apart <= alive * (1 + SLACK_FRAC)
        top: Ints = np.where((apart <= worth) & is_filled, apart, np.minimum(apart, shared))
        return top

    def _holding(self, landed: Ints, count: int) -> Ints:
        """Return the byte at which room for any ``count`` buckets in a row ends."""
        before = np.zeros_like(landed)
        before[..., count:] = landed[..., :-count]
        found: Ints = (self.free_from + landed - before).max(axis=-1)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """The places of the buckets in one worker's room."""

    first_byte: Ints
    """(B,) of the frame; the end of the room where nothing lands."""
    after: tuple[tuple[int, ...], ...]
    """By bucket: the earlier ones that must have been added up before it may land."""
    most_bytes: Ints
    """(B,) by bucket: what it and earlier ones may hold together."""
    end: int
    """One past the last byte of the room."""


def land(room: Room, size_bytes: Ints) -> Landing:
    """Place buckets that land so many bytes each."""
    end, size = max(room.frame_bytes, int(room.top(np.cumsum(size_bytes)))), size_bytes.tolist()
    first, most = [end] * len(size), [0] * len(size)
    after: list[tuple[int, ...]] = [()] * len(size)
    at, turn = end, list[int]()
    below: list[int] = []  # buckets of earlier turns that reach below this one
    whole: list[int] = []  # buckets on whose bytes no later one lands
    for bucket, bytes_needed in enumerate(size):
        if not bytes_needed:
            continue
        if at - bytes_needed < room.free_from[bucket]:
            at, turn, below = end, [], [*below, *turn]
        at -= bytes_needed
        first[bucket] = at
        until = at + bytes_needed
        after[bucket] = tuple(b for b in below if first[b] < until and at < first[b] + size[b])
        below = [b for b in below if first[b] < at]
        turn.append(bucket)
        whole = [b for b in whole if b not in after[bucket]] + [bucket]
        most[bucket] = sum(size[b] for b in whole)
    return Landing(
        first_byte=np.array(first, dtype=np.int64),
        after=tuple(after),
        most_bytes=np.maximum.accumulate(np.array(most, dtype=np.int64)),
        end=end,
    )

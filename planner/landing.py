"""Where the buckets of a gradient land in the arena of a worker, and which of them wait for which.

A bucket may land once its last gradient on this worker is there, above what the passes use from
then on. Landing registers lie one below the other, in turn, from the top of a room; where the next
one finds no place it begins at the top again, and its first arrival waits until those whose bytes
it takes have been added up. Waiting costs time where the network is slow, so the room is what the
largest needs alone and ``SLACK_FRAC`` of the arena more: buckets wait only where side by side they
would take more than that.
"""

from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints

SLACK_FRAC = 1 / 16
"""What room for several buckets at once may add to an arena: with gaps it stays below a tenth. Of
2,745 plans simulated with and without waiting 70 took longer, all but one of AlexNet, at most 13 %;
of 369 groups of plans that differ in exchange alone, two got a slower best one, by 2.1 % at most.
With 1/4 none of 715 took longer, but arenas of GPT-2 were up to 1.22 times what may be alive."""
LINE_BYTES = 64
"""Rooms are cut to lines, as registers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What landing registers find on a worker, whatever their sizes."""

    free_from: Ints
    """(B,) by bucket: the byte of the frame from which on nothing else is in use, descending."""
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
        bucket b and all before it lie above ``free_from[b]``.
        """
        each = np.diff(landed, prepend=0, axis=-1)
        apart: Ints = (self.free_from + landed).max(axis=-1)
        alone = np.maximum((self.free_from + each).max(axis=-1), self.frame_bytes)
        slack = ((self.kept_bytes + alone) * SLACK_FRAC).astype(np.int64)
        top: Ints = np.minimum(apart, alone + slack // LINE_BYTES * LINE_BYTES)
        return top


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

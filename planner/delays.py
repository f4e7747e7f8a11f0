"""Additions that put off the passes of their rank, and with them the gradients of later buckets.

A rank adds what lands of an early bucket on the lane that computes its passes. Let a bucket be
whole on a rank at t, and look at a lane by which this rank sends. Of an earlier bucket either all
additions are over that its last sends by this lane wait for, and then the lane that computes was
busy with them before t, beside the passes; or they are not, and these last sends are all still to
come. All sends of the bucket, and of later ones, are still to come too: a rank sends nothing
before its own gradients are there. So a step takes, from when the bucket would be whole if nobody
added: of every earlier bucket the smaller one of both, all sends of this one and of later ones, and
the least that follows one.

Index letters as in ``planner.moves``; D lanes by which ranks send. The *rows* of a lane are, by
size: the additions before its last sends, these sends, all sends, and the least that follows one.
"""

import numpy as np

from hwprofiles.units import Ints
from planner.crossings import LATER
from planner.crowds import tells_waits
from planner.moves import Moves

EMPTY_ROWS = np.array([0, 0, 0, LATER])
"""Of lanes that have nothing to do."""


def delay_rows(moves: Moves, devices: int, channels: int, times: tuple[Ints, Ints]) -> Ints:
    """Return the rows of all lanes that send, (4, channels x ranks, N).

    Parameters
    ----------
    devices
        Of the cluster.
    times : two int arrays, each (T, N)
        Of each move: duration, and what follows its end.
    """
    duration, rest = times
    rows = no_delays(channels * moves.ranks, duration.shape[1])
    if not tells_waits(moves, devices):
        return rows
    for place, seat in enumerate(moves.by_src.keys.tolist()):
        rank, channel = divmod(seat, moves.channels)
        sends = moves.sends[moves.by_src.rows(place)]
        adds = moves.adds[moves.src[moves.adds] == rank]
        led = moves.waits_for[np.ix_(sends, adds)].any(axis=0)
        if rank == moves.ranks or not led.any():
            continue
        last = adds[led][-1]
        before = adds[moves.waits_for[last, adds] | (adds == last)]
        after = sends[moves.waits_for[sends, last]]
        sums = [duration[some].sum(axis=0) for some in (before, after, sends)]
        rows[:, channel * moves.ranks + rank] = [*sums, rest[sends].min(axis=0)]
    return rows


def no_delays(lanes: int, sizes: int) -> Ints:
    """Return the rows of lanes that have nothing to do."""
    return np.tile(EMPTY_ROWS[:, None, None], (1, lanes, sizes))


def delayed_ps(rows: Ints) -> Ints:
    """Return what follows when each bucket would be whole if nobody added, (B,).

    ``rows`` are those of buckets in the order in which they become whole, (4, D, B).
    """
    before, after, sends, drain = rows
    late = np.minimum(before, after)
    earlier = np.cumsum(late, axis=1) - late
    left = np.cumsum(sends[:, ::-1], axis=1)[:, ::-1]
    found = np.where(left > 0, earlier + left + drain.min(axis=1, keepdims=True), 0)
    most: Ints = found.max(axis=0, initial=0)
    return most

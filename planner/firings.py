"""Firings that are not broken off: what comes in between is added when one is over.

While the last microbatch is computed, its lane is never idle. So at any time at which an addition
has not begun, a firing has, if those before it, and all additions and updates that can begin until
then, take less. The lane has then done, before the addition: the firings up to that one, and the
additions that this one comes after. What begins later leaves less for others, so this is worked out
in some rounds (``planner.late_moves``).

Index letters as in ``planner.moves``; W ways in which microbatches wait, F firings, A additions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwprofiles.units import Ints
from planner.rounds import PassTimes, Rounds

NO_FIRINGS = np.zeros((2, 0), dtype=np.int64)


def firings_ps(passes: Sequence[PassTimes], rounds: Rounds) -> Ints:
    """Return when each firing of the last microbatch begins and ends on an idle lane, (2, F).

    None is told where several kinds of devices compute, where the lane has more to do, or where two
    microbatches may be under way.
    """
    if len(passes) > 1 or rounds.holds or not rounds.input_slots or rounds.frames > 1:
        return NO_FIRINGS
    (one,) = passes
    end = one.end_ps(rounds, np.arange(len(one.until_ps)))
    own = one.until_ps + (one.added_ps if rounds.count > 1 else 0)
    return np.stack([end - np.diff(own, prepend=0), end])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lanes:
    """What lanes that compute do in W ways: firings, and what they add and update in between.

    A time of one lane in one way is told from all others by a multiple of ``apart_ps``.
    """

    apart_ps: int
    begin_ps: Ints
    end_ps: Ints
    """(F,) of the firings, of one way after the other."""
    start_ps: Ints
    work_ps: Ints
    """(A,) when additions begin at the earliest, ascending; (A + 1,) what those before take."""
    free_ps: Ints
    """(A + 1,) the latest firing that has begun until then begins after this on an idle lane."""
    updated_ps: Ints
    updates_ps: int
    """(W,) when an update begins at the earliest; all of them."""

    @classmethod
    def of(
        cls,
        firings: Sequence[Ints],
        apart_ps: int,
        added: tuple[Ints, Ints, Ints],
        updates: tuple[Ints, int],
    ) -> "Lanes":
        """Order all that is added: its ranks (additions,), starts (additions, B, W) and work."""
        rank, start, work = added
        shift = np.arange(len(firings)) * apart_ps
        begin, end = np.concatenate(
            [of + own for of, own in zip(firings, shift.tolist(), strict=True)], axis=1
        )
        seat = _seats(rank, start) * apart_ps
        at = (start + seat).reshape(-1)
        order = np.argsort(at)
        spent = np.cumsum(np.broadcast_to(work[..., None], start.shape).reshape(-1)[order])
        lanes = cls(
            apart_ps=apart_ps,
            begin_ps=begin,
            end_ps=end,
            start_ps=at[order],
            work_ps=np.concatenate([[0], spent]),
            free_ps=np.zeros(1, dtype=np.int64),
            updated_ps=updates[0],
            updates_ps=updates[1],
        )
        own = (start - lanes._spent_ps(start, seat) + seat).reshape(-1)[order]
        free = np.concatenate([[-apart_ps], np.maximum.accumulate(own)])
        return replace(lanes, free_ps=free)

    def _spent_ps(self, start_ps: Ints, seat_ps: Ints) -> Ints:
        """Return what lanes add and update at most that begins before some times."""
        before, first = (
            self.work_ps[np.searchsorted(self.start_ps, at, side="left")]
            for at in (start_ps + seat_ps, seat_ps)
        )
        found: Ints = before - first + self.updates_ps * (self.updated_ps < start_ps)
        return found

    def put_off(self, rank: Ints, start_ps: Ints, after_ps: Ints) -> Ints:
        """Return when additions begin at the earliest that otherwise could at ``start_ps``.

        At any time until then, a firing has begun if those before it, and all that begins before
        that time, take less. So the lane does all of this before the addition: the firings up to
        that one, and the additions that this one comes after.

        Parameters
        ----------
        rank : int array, shape (additions,)
        start_ps : int array, shape (additions, B, W)
        after_ps : int array, shape (additions, B)
            What those of their lane take that they come after.
        """
        seat = _seats(rank, start_ps) * self.apart_ps
        free = start_ps - self._spent_ps(start_ps, seat)
        earlier = self.free_ps[np.searchsorted(self.start_ps, start_ps + seat, side="left")] - seat
        free = np.maximum(free, earlier)
        shift = np.arange(start_ps.shape[-1]) * self.apart_ps
        place = np.searchsorted(self.begin_ps, free + shift, side="left") - 1
        until = np.where(place < 0, 0, self.end_ps[place] - shift + after_ps[..., None])
        found: Ints = np.maximum(start_ps, until)
        return found


def _seats(rank: Ints, times: Ints) -> Ints:
    """Return a number of each rank and way, (ranks, 1, W); ``times`` are (ranks, B, W)."""
    ways = times.shape[-1]
    found: Ints = rank[:, None, None] * ways + np.arange(ways)
    return found

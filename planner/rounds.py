"""How the microbatches of a worker follow one another, and when its gradients are ready at best.

Firings keep the order of ``planner.passes``, and a microbatch begins when the one that had its
frame before is over and its input is there. What is worked out here is the length of such chains,
and the work that the compute lane must do before; nothing of the exchange is counted. A *place* is
one in ``ModelGraph.passes``, or an array of them.
"""

from dataclasses import dataclass
from math import lcm

import numpy as np

from hwprofiles.units import Ints
from planner.plan import Bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How many microbatches there are, and what holds them back."""

    count: int
    frames: int = 1
    """Microbatches that may be under way."""
    input_slots: int = 0
    """Microbatches that may be loaded; 0 where loading runs ahead of the step."""
    holds: bool = False
    """Whether loads hold the compute lane."""

    @property
    def period(self) -> int:
        """Microbatches after which slots and frames come in the same turn."""
        return lcm(self.input_slots, self.frames)

    @property
    def settled(self) -> int:
        """A microbatch from which on every period is mostly like the one before."""
        return 3 * self.period + self.input_slots + self.frames


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PassTimes:
    """Factor with axes (workers, microbatch, placement): one microbatch, picoseconds."""

    load_ps: int
    until_ps: Ints
    """By place: the work from the first firing to the end of this one."""
    added_ps: Ints
    """By place: how much longer that takes in a later microbatch, whose gradients are added."""
    input_place: int
    """The firing that reads what was loaded for the last time."""

    def compute_ps(self, microbatches: int) -> int:
        """Forward and backward of a whole step."""
        return int(self.work_ps(Rounds(count=microbatches), -1))

    def ready_ps(self, bucket: Bucket, microbatches: int) -> int:
        """Work that precedes the last gradient of ``bucket``, loading apart, with one frame."""
        return int(self.work_ps(Rounds(count=microbatches), bucket.place))

    def work_ps(self, rounds: Rounds, place: int | Ints) -> Ints:
        """Work that precedes the end of a firing of the last microbatch, loading apart.

        Every microbatch comes as far, and those whose frames the last ones have are over.
        """
        over = rounds.count - rounds.frames
        until, added = self.until_ps[place], self.added_ps[place]
        here = rounds.count * until + (rounds.count - 1) * added
        rest, rest_added = self.until_ps[-1] - until, self.added_ps[-1] - added
        found: Ints = here + over * rest + max(0, over - 1) * rest_added
        return found

    def end_ps(self, rounds: Rounds, place: int | Ints) -> Ints:
        """When a firing of the last microbatch is over at the earliest."""
        loads = self.load_ps * (rounds.count if rounds.holds else 1)
        own = self.until_ps[place] + (self.added_ps[place] if rounds.count > 1 else 0)
        found: Ints = np.maximum(loads + self.work_ps(rounds, place), self.begin_ps(rounds) + own)
        return found

    def begin_ps(self, rounds: Rounds) -> int:
        """When the last microbatch begins at the earliest: its input and its frame are there.

        Nothing is said (0) where loads hold the compute lane, or run ahead of the step.
        """
        if rounds.holds or not rounds.input_slots:
            return 0
        whole, held = (int(self.until_ps[at]) for at in (-1, self.input_place))
        more, more_held = (int(self.added_ps[at]) for at in (-1, self.input_place))
        slots, frames, settled = rounds.input_slots, rounds.frames, rounds.settled
        begun: list[int] = []
        loaded: list[int] = []
        for number in range(rounds.count):
            begin = loaded[-1] if loaded else 0
            if number >= slots:
                before = number - slots
                begin = max(begin, begun[before] + held + (more_held if before else 0))
            begin += self.load_ps
            loaded.append(begin)
            if number >= frames:
                before = number - frames
                begin = max(begin, begun[before] + whole + (more if before else 0))
            begun.append(begin)
            if number == settled and (rate := _rate(begun, loaded, rounds)) is not None:
                return _later(begun, rounds, rate)
        return begun[-1]


def _rate(begun: list[int], loaded: list[int], rounds: Rounds) -> int | None:
    """Return what a period takes, where all that the next microbatches wait for has moved so far.

    What follows is then the same again: it is a maximum of sums.
    """
    period, last = rounds.period, max(rounds.input_slots, rounds.frames)
    rate = loaded[-1] - loaded[-1 - period]
    here, before = begun[-last:], begun[-last - period : -period]
    return rate if all(b - a == rate for a, b in zip(before, here, strict=True)) else None


def _later(begun: list[int], rounds: Rounds, rate: int) -> int:
    """Return when the last microbatch begins, every period ``rate`` after the one before."""
    periods = -(-(rounds.count - len(begun)) // rounds.period)
    return begun[rounds.count - 1 - periods * rounds.period] + periods * rate

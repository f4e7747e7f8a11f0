"""Batch flips: how far the global batch may change before another choice wins.

Looked at are the batches that the workers of the choice can share, as far as a factor of ``RANGE``.
Closed forms say where another choice wins first, by doubling and bisection; contests by simulation
then confirm it. The microbatch is no part of a choice: it changes with the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from hwprofiles.units import PS_PER_S
from planner.contest import Contest, Winner
from planner.plan import Plan
from planner.records import PlanFile
from planner.space import divisors

RANGE = 8
"""How far the batch is changed down and up, as a factor."""
TRIES = 3
"""Batches at which a flip of closed forms may fail to be one of simulated times."""

MOST_TASKS = 40_000
"""Tasks of the programs that are lowered for one batch: of each other ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A field in which two plans differ."""

    field: str
    this: Any
    other: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AtBatch:
    """Who wins with another global batch: the nearest one that changes the choice, if any does."""

    batch: int
    winner: str
    """Label."""
    step_s: float
    differs: tuple[Change, ...]
    """From the winner of the file, the microbatch left out: empty where the choice stays the same
    as far as ``batch``, the last that was looked at."""
    proved: bool
    """Whether the contest with this batch was decided over all candidates."""


def plan_changes(this: Plan, other: Plan) -> tuple[Change, ...]:
    """Return the fields in which two plans differ, placement left out where workers differ too."""
    found = [
        Change(field=f.name, this=getattr(this, f.name), other=getattr(other, f.name))
        for f in fields(Plan)
        if getattr(this, f.name) != getattr(other, f.name)
    ]
    names = {change.field for change in found}
    return tuple(c for c in found if c.field != "placement" or "workers" not in names)


def choice_changes(this: Plan, other: Plan) -> tuple[Change, ...]:
    """Return the fields in which two plans differ, the microbatch left out."""
    return tuple(c for c in plan_changes(this, other) if c.field != "microbatch")


@dataclass(slots=True, kw_only=True)
class BatchTurn:
    """The batch of a plan file, turned one way from what it is."""

    contest: Contest
    """Of the file's own batch."""
    plans: PlanFile
    held: Plan
    sign: int
    """1 for greater batches, -1 for smaller ones."""
    told: Callable[[], None]
    """Called after every batch."""

    def at_batch(self) -> AtBatch | None:
        """Return the nearest batch with another choice, else the last; None if there is none."""
        last = self.last
        if not last:
            return None
        beaten = self._first_beaten()
        for steps in range(beaten, min(beaten + TRIES, last + 1)):
            found = self._confirmed(steps)
            if found.differs:
                return found
        return self._confirmed(last)

    @property
    def _unit(self) -> int:
        return self.held.workers * self.contest.model.norm_group

    @property
    def last(self) -> int:
        """Steps to the batch that is farthest off."""
        batch = self.plans.training.batch
        far = batch - -(-batch // RANGE) if self.sign < 0 else (RANGE - 1) * batch
        return far // self._unit

    def _batch(self, steps: int) -> int:
        return self.plans.training.batch + self.sign * steps * self._unit

    def _first_beaten(self) -> int:
        """Return the least steps after which closed forms say that another choice wins."""
        low, high = 0, 1
        while not self._is_beaten(high):
            low = high
            if high == self.last:
                return high + 1
            high = min(2 * high, self.last)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_beaten(middle) else (middle, high)
        return high

    def _contest(self, steps: int) -> Contest:
        training = replace(self.plans.training, batch=self._batch(steps))
        return Contest.of(self.contest.model, self.plans, MOST_TASKS, training)

    def _is_beaten(self, steps: int) -> bool:
        other = self._contest(steps)
        own = self._own(other)
        self.told()
        if own is None:
            return True
        _, held_ps = own
        return bool(other.floor_ps(other.machine, held_ps).min() < held_ps)

    def _own(self, other: Contest) -> tuple[int, int] | None:
        """Return the row of the held choice, the one with the least closed form, and that."""
        space, samples = other.plans.space, divisors(other.training.batch)
        same = (space.row(replace(self.held, microbatch=some)) for some in samples)
        rows = np.flatnonzero(np.isin(other.plans.rows, [row for row in same if row is not None]))
        if not len(rows):
            return None
        closed_ps = other.closed_ps(other.machine, rows.tolist())
        best = int(closed_ps.argmin())
        return int(rows[best]), int(closed_ps[best])

    def _confirmed(self, steps: int) -> AtBatch:
        """Return who wins by simulation; of equal ones the held choice."""
        other = self._contest(steps)
        own, held_ps = self._own(other), None
        if own is not None:
            held_ps = other.step_ps(own[0], other.machine)
        floor_ps = other.floor_ps(other.machine, held_ps)
        holder = int(floor_ps.argmin()) if own is None else own[0]
        best: Winner = other.winner(other.machine, [holder], floor_ps, is_exact=True)
        plan = other.plans[best.row]
        self.told()
        return AtBatch(
            batch=self._batch(steps),
            winner=plan.label,
            step_s=best.step_ps / PS_PER_S,
            differs=choice_changes(self.held, plan),
            proved=best.proved and other.is_whole,
        )


def batches_expected(plans: PlanFile, contest: Contest, held: Plan) -> int:
    """Return about how many batches ``batch_flips`` will look at."""
    if not contest.is_whole:
        return 0
    lasts = (
        BatchTurn(contest=contest, plans=plans, held=held, sign=sign, told=lambda: None).last
        for sign in (-1, 1)
    )
    # by doubling, then perhaps by bisection, then by simulation
    return sum(last.bit_length() * 3 // 2 + TRIES for last in lasts if last > 0)


def batch_flips(
    plans: PlanFile, contest: Contest, held: Plan, told: Callable[[int], None]
) -> tuple[AtBatch, ...]:
    """Return who wins with the nearest smaller and greater batch that changes the choice."""
    if not contest.is_whole:
        return ()
    seen = 0

    def one_more() -> None:
        nonlocal seen
        seen += 1
        told(seen)

    turns = (
        BatchTurn(contest=contest, plans=plans, held=held, sign=sign, told=one_more)
        for sign in (-1, 1)
    )
    return tuple(found for turn in turns if (found := turn.at_batch()))

"""Flip points: how far a figure of the hardware may move before another plan wins.

Found by bisection over simulated times. Between the figure as it is and the flip point no
candidate is faster than the winner at the point of ``CLOSE`` before it; whoever is found there
enters the bisection, which then begins again. So every step from one side to the other is between
two contests over all candidates, and both are proved as far as the search proves its own answer.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hwprofiles.units import Ints
from planner.contest import Contest, Winner
from planner.machine import Machine
from planner.records import ClusterRecord, PlanFile
from planner.settings import Setting, change, wires_of
from planner.wires import TIERS, Tier

RANGE = 8.0
"""How far a figure is moved up and down, as a factor."""
CLOSE = 1.03
"""Contests are held this factor before and behind a flip point."""
EXACT = 1.005
"""The bisection ends when its two sides are this factor apart."""
BRIEF = 4
"""How many flips that do not last are passed over for one that does."""

Side = Literal["below", "above"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """A figure of the hardware that a setting scales."""

    scope: str
    key: str
    is_rate: bool
    """Whether more of it is faster."""

    @property
    def name(self) -> str:
        """As in ``--set``."""
        return f"{self.scope}.{self.key}"

    def turned(self, plans: PlanFile, factor: float) -> dict[int, ClusterRecord]:
        """Return the records of a plan file with this figure times ``factor``."""
        setting = Setting(scope=self.scope, part="", key=self.key, factor=factor)
        return change(plans.machine, [setting])

    def machine(self, plans: PlanFile, factor: float) -> Machine:
        """Return the machine of a plan file with this figure times ``factor``."""
        return replace(plans, machine=self.turned(plans, factor)).to_machine()

    def figures(self, plans: PlanFile, factor: float) -> dict[str, float]:
        """Return by name of the link what the figure then is, SI; nothing for a speed."""
        return {
            wire.link.name: (
                wire.link.bandwidth_bytes_per_s if self.is_rate else wire.link.overheads[0][1]
            )
            for record in self.turned(plans, factor).values()
            for wire in wires_of(record)
            if wire.tier == self.scope
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """A flip that does not last: the winner of today wins again a little further on."""

    factor: float
    winner: str
    faster_frac: float
    """By how much it is seen ahead."""

    @classmethod
    def of(cls, flip: "Flip") -> "Brief":
        """Return what is told of a flip before another that lasts."""
        return cls(
            factor=flip.factor or flip.beyond_factor,
            winner=flip.winner,
            faster_frac=flip.faster_frac,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Where the winner changes when one figure of the hardware moves one way."""

    knob: str
    """As in ``--set``."""
    side: Side
    """On which side of ``factor`` the other plan wins."""
    factor: float | None
    """Of the figure as it is; None where the winner stays as far as was looked."""
    range_factor: float
    """How far was looked."""
    figures: Mapping[str, float]
    """The figure at ``factor`` (else at ``range_factor``) by name of the link: bytes per second or
    seconds; empty for a speed."""
    winner: str
    """Label of the plan that wins beyond; empty where the winner stays."""
    faster_frac: float
    """By how much it does at ``beyond_factor``; a fraction of the old winner's time."""
    beyond_factor: float
    """``CLOSE`` beyond the flip point; nearer where the old winner wins there again. 0 without."""
    proved: bool
    """Whether the contests before and beyond the flip point were decided over all candidates that
    take part."""
    lasts: bool = True
    """False where the winner of today wins again ``CLOSE`` beyond: as far as was looked, no other
    winner stays."""
    before: tuple["Brief", ...] = ()
    """Where others win nearer than that, without staying ahead."""


def knobs(tiers: Collection[Tier]) -> list[Knob]:
    """Return the figures that are turned: links by tier, and the speed of all devices."""
    found = [
        Knob(scope=tier, key=key, is_rate=key == "bandwidth")
        for tier in TIERS
        for key in ("bandwidth", "latency")
        if tier in tiers
    ]
    return [*found, Knob(scope="device", key="speed", is_rate=True)]


@dataclass(slots=True, kw_only=True)
class Turn:
    """One figure of the hardware, turned one way from what it is."""

    contest: Contest
    plans: PlanFile
    holders: Sequence[int]
    """Rows that win today; of equal time."""
    knob: Knob
    side: Side
    floor_ps: Ints
    """Closed form of every candidate on hardware at least as fast as any on the way; exact where it
    is less than the holders take on the slowest."""
    machines: dict[float, Machine] = field(default_factory=dict)
    """By factor."""

    @classmethod
    def of(
        cls,
        contest: Contest,
        plans: PlanFile,
        holders: Sequence[int],
        now_ps: Ints,
        knob: Knob,
        side: Side,
    ) -> "Turn":
        """Return a turn to ``RANGE``; ``now_ps`` are the closed forms on the hardware as it is."""
        to_faster = (side == "above") == knob.is_rate
        factor = RANGE if side == "above" else 1 / RANGE
        last = knob.machine(plans, factor)
        held_ps = min(contest.step_ps(row, contest.machine) for row in holders)
        return cls(
            contest=contest,
            plans=plans,
            holders=holders,
            knob=knob,
            side=side,
            floor_ps=contest.floor_ps(last, held_ps) if to_faster else now_ps,
            machines={1.0: contest.machine, factor: last},
        )

    def flip(self) -> Flip:
        """Return where the winner changes: where it stays another, or else the first of all."""
        last, held = self._from_now(RANGE), 1.0
        to_faster = (self.side == "above") == self.knob.is_rate
        found = self.contest.winner(
            self._machine(last), self.holders, self.floor_ps, is_exact=to_faster
        )
        firm, briefs = self._none(found.proved), list[Flip]()
        while len(briefs) < BRIEF and (over := self._beaten_beyond(held, found)):
            flip, held = self._flip_beyond(held, *over)
            if flip is None:  # who wins there is not known, or they tie
                firm = self._none(proved=False)
                break
            if flip.lasts:
                return replace(flip, before=tuple(map(Brief.of, briefs)))
            briefs.append(flip)
        return briefs[0] if briefs else firm

    def _flip_beyond(self, held: float, rival: int, beaten: float) -> tuple[Flip | None, float]:
        """Return the first flip found beyond ``held``, and where it was asked who wins after it.

        At ``held`` the holders win, and at ``beaten`` they lose to ``rival``. None instead of a
        flip where they tie, or too much would have to be simulated.
        """
        while True:
            holds, beaten = self._bisect(rival, held, beaten)
            point, proved = float(np.sqrt(holds * beaten)), True
            near, far = (self._beyond(point, distance) for distance in (1 / CLOSE, CLOSE))
            if self._is_beyond(near, held):
                before = self._winner(near)
                proved = before.proved
                if before.row not in self.holders:
                    rival, beaten = before.row, near
                    continue
            beyond = self._winner(far)
            is_other = beyond.row not in (*self.holders, rival)
            if is_other and self._beats([beyond.row], holds) is not None:
                rival, beaten = beyond.row, holds
                continue
            if beyond.row not in self.holders:
                return self._flip(point, far, beyond, proved=proved and beyond.proved), far
            there = self._winner(beaten)  # an anomaly of list scheduling: they win again
            if there.row in self.holders:
                return None, far
            found = self._flip(point, beaten, there, proved=proved and there.proved)
            return replace(found, lasts=False), far

    def _flip(self, point: float, at: float, winner: Winner, *, proved: bool) -> Flip:
        """Return the flip at ``point`` to the winner ``at`` a factor beyond it."""
        return Flip(
            knob=self.knob.name,
            side=self.side,
            factor=point,
            range_factor=self._from_now(RANGE),
            figures=self.knob.figures(self.plans, point),
            winner=self.contest.plans[winner.row].label,
            faster_frac=1 - winner.step_ps / self._held_ps(self._machine(at)),
            beyond_factor=at,
            proved=proved,
        )

    def _none(self, proved: bool) -> Flip:
        """Return that the winner stays as far as was looked."""
        last = self._from_now(RANGE)
        return Flip(
            knob=self.knob.name,
            side=self.side,
            factor=None,
            range_factor=last,
            figures=self.knob.figures(self.plans, last),
            winner="",
            faster_frac=0.0,
            beyond_factor=0.0,
            proved=proved,
        )

    def _from_now(self, distance: float) -> float:
        return distance if self.side == "above" else 1 / distance

    def _beyond(self, point: float, distance: float) -> float:
        return point * self._from_now(distance)

    def _is_beyond(self, factor: float, other: float) -> bool:
        return factor > other if self.side == "above" else factor < other

    def _machine(self, factor: float) -> Machine:
        if factor not in self.machines:
            self.machines[factor] = self.knob.machine(self.plans, factor)
        return self.machines[factor]

    def _winner(self, factor: float) -> Winner:
        is_on_the_way = max(factor, 1 / factor) <= RANGE
        floor_ps = self.floor_ps if is_on_the_way else np.zeros_like(self.floor_ps)
        return self.contest.winner(self._machine(factor), self.holders, floor_ps)

    def _held_ps(self, machine: Machine) -> int:
        return min(self.contest.step_ps(row, machine) for row in self.holders)

    def _beats(self, rows: Iterable[int], factor: float) -> int | None:
        """Return the first of ``rows`` that is faster than the holders; None where none is."""
        machine = self._machine(factor)
        held_ps = self._held_ps(machine)
        for row in rows:
            may_win = row not in self.holders and self.floor_ps[row] < held_ps
            if may_win and self.contest.step_ps(row, machine) < held_ps:
                return row
        return None

    def _beaten_beyond(self, held: float, at_last: Winner) -> tuple[int, float] | None:
        """Return a rival and a factor beyond ``held`` at which it beats the holders; None if none.

        That is who wins at the last factor; else, of the candidates simulated so far, one that is
        faster at the nearest doubling or halving.
        """
        last, distance = self._from_now(RANGE), 2.0
        if at_last.row not in self.holders:
            return (at_last.row, last) if self._is_beyond(last, held) else None
        while distance < RANGE:
            factor = self._from_now(distance)
            if self._is_beyond(factor, held):
                rival = self._beats(reversed(self.contest.lowered), factor)
                if rival is not None:
                    return rival, factor
            distance *= 2
        return None

    def _bisect(self, rival: int, holds: float, beaten: float) -> tuple[float, float]:
        """Return two factors ``EXACT`` apart: at the second one ``rival`` beats the holders."""
        while max(holds, beaten) / min(holds, beaten) > EXACT:
            middle = float(np.sqrt(holds * beaten))
            if self._beats([rival], middle) is not None:
                beaten = middle
            else:
                holds = middle
        return holds, beaten

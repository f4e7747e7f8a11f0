"""Flip points: how far a figure of the hardware may move before another plan wins.

Found by bisection over simulated times. Between the figure as it is and the flip point no
candidate is faster than the winner at the point of ``CLOSE`` before it; whoever is found there
enters the bisection, which then begins again. So every step from one side to the other is between
two contests over all candidates, and both are proved as far as the search proves its own answer.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """By how much it does, ``CLOSE`` beyond the flip point; a fraction of the old winner's time."""
    proved: bool
    """Whether the contests before and beyond the flip point were decided over all candidates."""


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
class Bench:
    """A contest, the rows that win it today (of equal time), and the hardware to turn."""

    contest: Contest
    plans: PlanFile
    holders: Sequence[int]
    now_ps: Ints
    """Closed form of every candidate on the hardware as it is."""

    def flip(self, knob: Knob, side: Side) -> Flip:
        """Return where the winner changes when ``knob`` is turned to ``side``."""
        last = RANGE if side == "above" else 1 / RANGE
        faster = (last > 1) == knob.is_rate
        at_last = self._machine(knob, last)
        floor_ps = self.contest.floor_ps(at_last) if faster else self.now_ps
        found = self.contest.winner(at_last, self.holders, floor_ps)
        beaten = last if found.row not in self.holders else self._beaten_between(knob, last)
        if beaten is None:
            return Flip(
                knob=knob.name,
                side=side,
                factor=None,
                range_factor=last,
                figures=knob.figures(self.plans, last),
                winner="",
                faster_frac=0.0,
                proved=found.proved,
            )
        while True:
            holds, beaten = self._bisect(knob, beaten)
            point = float(np.sqrt(holds * beaten))
            near = point / CLOSE if side == "above" else point * CLOSE
            if (near > 1) != (side == "above"):
                before = None
                break
            before = self._winner(knob, near, floor_ps)
            if before.row in self.holders:
                break
            beaten = near
        return self._flip(knob, side, point, before, floor_ps)

    def _flip(
        self, knob: Knob, side: Side, point: float, before: Winner | None, floor_ps: Ints
    ) -> Flip:
        """Return the flip at ``point`` with the contest beyond it."""
        far = point * CLOSE if side == "above" else point / CLOSE
        floor_ps = floor_ps if max(far, 1 / far) <= RANGE else np.zeros_like(floor_ps)
        beyond = self._winner(knob, far, floor_ps)
        old_ps = self._held_ps(self._machine(knob, far))
        return Flip(
            knob=knob.name,
            side=side,
            factor=point,
            range_factor=RANGE if side == "above" else 1 / RANGE,
            figures=knob.figures(self.plans, point),
            winner=self.contest.plans[beyond.row].label,
            faster_frac=1 - beyond.step_ps / old_ps,
            proved=beyond.proved and (before is None or before.proved),
        )

    def _machine(self, knob: Knob, factor: float) -> Machine:
        return knob.machine(self.plans, factor)

    def _winner(self, knob: Knob, factor: float, floor_ps: Ints) -> Winner:
        return self.contest.winner(self._machine(knob, factor), self.holders, floor_ps)

    def _held_ps(self, machine: Machine) -> int:
        return min(self.contest.step_ps(row, machine) for row in self.holders)

    def _is_beaten(self, knob: Knob, factor: float) -> bool:
        """Whether one of the candidates simulated so far is faster than the holders."""
        machine = self._machine(knob, factor)
        held_ps = self._held_ps(machine)
        others = [row for row in self.contest.lowered if row not in self.holders]
        return any(self.contest.step_ps(row, machine) < held_ps for row in reversed(others))

    def _beaten_between(self, knob: Knob, last: float) -> float | None:
        """Return a factor between 1 and ``last`` at which the holders are beaten, if one is seen.

        Looks at every doubling or halving.
        """
        step, factor = (2.0, 2.0) if last > 1 else (0.5, 0.5)
        while max(factor, 1 / factor) < RANGE:
            if self._is_beaten(knob, factor):
                return factor
            factor *= step
        return None

    def _bisect(self, knob: Knob, beaten: float) -> tuple[float, float]:
        """Return two factors, close together, at which the holders hold and are beaten."""
        holds = 1.0
        while max(holds, beaten) / min(holds, beaten) > EXACT:
            middle = float(np.sqrt(holds * beaten))
            if self._is_beaten(knob, middle):
                beaten = middle
            else:
                holds = middle
        return holds, beaten

"""Objectives: what a search makes small, as arrays over rows and as numbers of one plan.

All are a step's time, or its time multiplied by what the devices in use cost or draw a second, or
how many devices there are; so a lower bound of the time is one of the objective.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.errors import PlanError
from hwprofiles.registry import lookup
from hwprofiles.units import PS_PER_S, Floats
from planner.machine import Machine
from planner.plan import Plan
from planner.table import Block, PlanTable

FORMULAS = {
    "time": "simulated time of a step",
    "throughput": "batch / simulated time of a step",
    "cost": "time of a step x price of the nodes in use (of the devices, where a node has none)",
    "energy": "time of a step x power of the nodes in use (of the boards, where a node has none)",
    "devices": "devices in use, and of as many the time of a step",
    "memory": "static arena of the fullest worker",
}
"""How each objective is worked out; prices and powers are of grade ``datasheet``."""

Key = tuple[float, int]
"""(objective, picoseconds of a step): smaller is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One objective on one machine."""

    name: str
    machine: Machine

    @classmethod
    def named(cls, name: str, machine: Machine) -> "Objective":
        """Return an objective, or say in one sentence why it cannot be had.

        Raises
        ------
        PlanError
            An unknown name, or a price or power that nobody knows.
        """
        lookup("objective", name, list(FORMULAS), error=PlanError)
        found = cls(name=name, machine=machine)
        found.per_s(1, (0,))
        return found

    def per_s(self, workers: int, placement: Sequence[int]) -> float:
        """Return what a second of these devices counts."""
        if self.name == "cost":
            return self.machine.usd_per_s(workers, placement)
        if self.name == "energy":
            return self.machine.watts(workers, placement)
        return 1.0

    def of_plan(self, plan: Plan, step_ps: int, arena_bytes: int = 0) -> float:
        """Return the objective of a plan whose step takes so long."""
        if self.name == "devices":
            return float(plan.workers)
        if self.name == "memory":
            return float(arena_bytes)
        return step_ps / PS_PER_S * self.per_s(plan.workers, plan.placement)

    def of_block(self, table: PlanTable, block: Block) -> Floats:
        """Return the least that the objective of each row can be, shape (P,)."""
        if self.name == "devices":
            return np.full(len(block.rows), float(block.workers))
        if self.name == "memory":
            return block.arena_bytes.astype(np.float64)
        seconds: Floats = block.bound_ps / PS_PER_S
        if self.name not in ("cost", "energy"):
            return seconds
        seats = table.placements(block.workers)
        rates = np.array([self.per_s(block.workers, placement) for placement in seats])
        weighted: Floats = seconds * rates[block.indices["placement"]]
        return weighted

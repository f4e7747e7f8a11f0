"""Where every register of a worker lies in its arena; ``planner.memory`` says why there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.memory import Frame, bytes_by_bucket, frame, landing_from, last_layers
from planner.model import ModelGraph
from planner.packing import alive
from planner.plan import Plan, Training
from planner.registers import (
    Register,
    frame_count,
    fullest_landing,
    landing_registers,
    own_registers,
    plan_buckets,
)

CATEGORIES = (
    "parameters",
    "gradients",
    "optimizer",
    "input",
    "activations",
    "workspace",
    "landing",
    "gaps",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the slots of a register lie."""

    first_byte: int
    step_bytes: int
    """From one slot to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The arena of one worker."""

    registers: tuple[Register, ...]
    places: Mapping[str, Place]
    """By register."""
    size_bytes: int


def layouts(
    model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
) -> tuple[Layout, ...]:
    """Return the arenas of a plan, by rank; ``calls`` are its own, where they are known."""
    shared = _Shared.of(model, training, plan, calls)
    ranks = range(plan.workers)
    return tuple(shared.layout(landing_registers(model, training, plan, rank)) for rank in ranks)


def memory_bytes(model: ModelGraph, training: Training, plan: Plan) -> dict[str, int]:
    """Return what makes up the arena of the fullest worker, by category.

    Registers with a place of their own count in full. Of those that share bytes, frame by frame,
    what is alive when most is; ``gaps`` is where nothing lies at that moment.
    """
    landing = fullest_landing(model, training, plan)
    return _Shared.of(model, training, plan).by_category(landing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the arenas of all ranks have in common."""

    own: tuple[Register, ...]
    frame: Frame
    frames: int
    after: Ints
    """(B,) by bucket: the position from which on it may land."""
    landing_from: Ints
    """(B,) by bucket: the first byte of the last frame that is free from then on."""

    @classmethod
    def of(
        cls, model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
    ) -> "_Shared":
        packed, cut = frame(model, training, plan, calls), plan_buckets(model, training, plan)
        return cls(
            own=own_registers(model, training, plan),
            frame=packed,
            frames=max(1, frame_count(training, plan)),
            after=packed.after[last_layers(cut if plan.overlap else cut[-1:] * len(cut))],
            landing_from=landing_from(packed.free_from, cut, overlap=plan.overlap),
        )

    def layout(self, landing: Sequence[Register]) -> Layout:
        """Return the arena of a rank that has these landing registers."""
        places: dict[str, Place] = {}
        end = 0
        for register in self.own:
            places[register.name] = Place(first_byte=end, step_bytes=register.stride_bytes)
            end += register.arena_bytes
        packed = self.frame
        for register, at in zip(packed.registers, packed.first_byte.tolist(), strict=True):
            places[register.name] = Place(first_byte=end + at, step_bytes=packed.size_bytes)
        end += (self.frames - 1) * packed.size_bytes
        landed, top = {register.name: register for register in landing}, 0
        for number in reversed(range(len(self.landing_from))):
            if found := landed.get(f"landing.{number}"):
                top = max(top, int(self.landing_from[number]))
                places[found.name] = Place(first_byte=end + top, step_bytes=found.stride_bytes)
                top += found.arena_bytes
        return Layout(
            registers=(*self.own, *packed.registers, *landing),
            places=places,
            size_bytes=end + max(packed.size_bytes, top),
        )

    def by_category(self, landing: Sequence[Register]) -> dict[str, int]:
        """Return what makes up the arena of that rank."""
        found = dict.fromkeys(CATEGORIES, 0)
        for register in self.own:
            found[register.category] += register.arena_bytes
        lives, registers = self.frame.lives, self.frame.registers
        stride = np.array([register.stride_bytes for register in registers], dtype=np.int64)
        held = np.append(alive(lives, stride), 0)
        landed = np.zeros_like(held)
        for after, count in zip(self.after, bytes_by_bucket(landing, len(self.after)), strict=True):
            landed[after:] += count
        moments = [int(np.argmax(held))] * (self.frames - 1) + [int(np.argmax(held + landed))]
        for moment in moments:
            for i in np.flatnonzero((lives.first <= moment) & (lives.last >= moment)).tolist():
                found[registers[i].category] += registers[i].stride_bytes
        found["landing"] = int(landed[moments[-1]])
        found["gaps"] = self.layout(landing).size_bytes - sum(found.values())
        return {name: count for name, count in found.items() if count}

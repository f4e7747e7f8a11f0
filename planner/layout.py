"""Where every register of a worker lies in its arena; ``planner.memory`` says why there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.landing import Landing, Room, land
from planner.memory import Frame, bytes_by_bucket, frame, kept_bytes, landing_room, last_layers
from planner.model import ModelGraph
from planner.packing import alive
from planner.plan import Plan, Training
from planner.registers import (
    Register,
    frame_count,
    fullest_landing,
    landing_bucket,
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
    landing_after: tuple[tuple[int, ...], ...]
    """By bucket: the earlier ones on whose bytes it lands."""
    follows: Sequence[int]
    """By position in the passes, of two frames: which one of the microbatch before must be over."""
    size_bytes: int
    live_bytes: int
    """The most that may be alive at once, in one legal order or another."""


def layouts(
    model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
) -> tuple[Layout, ...]:
    """Return the arenas of a plan, by rank; ``calls`` are its own, where they are known."""
    shared = _Shared.of(model, training, plan, calls)
    arena = ("arena", shared.own, id(shared.frame), shared.frames, shared.first_upright)
    alike = model.once(arena, shared.without_landing)  # the frame is kept there too
    landing = landing_registers(model, training, plan)
    found = {
        key: shared.with_landing(alike, own)
        for key, own in {id(own): own for own in landing}.items()
    }
    return tuple(found[id(own)] for own in landing)


def worker_layout(
    model: ModelGraph, training: Training, plan: Plan, landing: Sequence[Register], calls: StepCalls
) -> Layout:
    """Return the arena of a worker that has these landing registers."""
    shared = _Shared.of(model, training, plan, calls)
    return shared.with_landing(shared.without_landing(), landing)


def memory_bytes(model: ModelGraph, training: Training, plan: Plan) -> dict[str, int]:
    """Return what makes up the arena of the fullest worker, by category.

    Registers with a place of their own count in full. Of those that share bytes, what is alive when
    most may be, in one legal order or another; ``gaps`` is where nothing lies at that moment.
    """
    landing = fullest_landing(model, training, plan)
    return _Shared.of(model, training, plan).by_category(landing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the arenas of all ranks have in common."""

    own: tuple[Register, ...]
    frame: Frame
    frames: int
    first_upright: int
    """Whether the first microbatch has the upright frame: 1, or 0; the last one always has."""
    after: Ints
    """(B,) by bucket: the position from which on it may land."""
    held: Ints
    """(T + 1,) by position: what of the frame is alive."""
    room: Room

    @classmethod
    def of(
        cls, model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
    ) -> "_Shared":
        packed, cut = frame(model, training, plan, calls), plan_buckets(model, training, plan)
        own = own_registers(model, training, plan)
        stride = np.array([register.stride_bytes for register in packed.registers], dtype=np.int64)
        return cls(
            own=own,
            frame=packed,
            frames=frame_count(training, plan),
            first_upright=plan.microbatches(training.batch) % 2,
            after=packed.after[last_layers(cut if plan.overlap else cut[-1:] * len(cut))],
            held=np.append(alive(packed.lives, stride), 0),
            room=landing_room(packed, kept_bytes(own), cut, overlap=plan.overlap),
        )

    def land(self, landing: Sequence[Register]) -> Landing:
        """Return where a rank lands that has these registers for it."""
        return land(self.room, bytes_by_bucket(landing, len(self.after)))

    def without_landing(self) -> Layout:
        """Return the arena of a rank on which nothing lands, as far as buckets do not matter."""
        places: dict[str, Place] = {}
        end = 0
        for register in self.own:
            places[register.name] = Place(first_byte=end, step_bytes=register.stride_bytes)
            end += register.arena_bytes
        for register, at in zip(self.frame.registers, self.frame.first_byte.tolist(), strict=True):
            places[register.name] = self._in_frames(end, at, register.stride_bytes)
        return Layout(
            registers=(*self.own, *self.frame.registers),
            places=places,
            landing_after=(),
            follows=tuple(self.frame.follows.tolist()),
            size_bytes=end + self.frame.size_bytes,
            live_bytes=end + int(self.held.max()),
        )

    def with_landing(self, alike: Layout, landing: Sequence[Register]) -> Layout:
        """Return the arena of a rank with these registers, which is else ``alike``."""
        begin = alike.size_bytes - self.frame.size_bytes
        places, landed = dict(alike.places), self.land(landing)
        ends = begin + landed.first_byte + bytes_by_bucket(landing, len(self.after))
        for register in landing:
            # slot 0, which is always used, ends where the arena does; other channels lie below
            bucket = landing_bucket(register.name)
            last = int(ends[bucket]) - register.stride_bytes
            places[register.name] = Place(first_byte=last, step_bytes=-register.stride_bytes)
            ends[bucket] -= register.arena_bytes
        return replace(
            alike,
            registers=(*alike.registers, *landing),
            places=places,
            landing_after=landed.after,
            size_bytes=begin + landed.end,
            live_bytes=begin + sum(self.fullest(landed)[1:]),
        )

    def _in_frames(self, begin: int, at: int, stride_bytes: int) -> Place:
        """Return where a register of the passes lies, by the slot of its microbatch."""
        turned = self.frame.size_bytes - at - stride_bytes
        if self.frames < 2:
            return Place(first_byte=begin + at, step_bytes=0)
        first, second = (at, turned) if self.first_upright else (turned, at)
        return Place(first_byte=begin + first, step_bytes=second - first)

    def fullest(self, landed: Landing) -> tuple[int, int, int]:
        """Return when most may be alive, as a position, and what then is: of the frame, landed."""
        found = np.zeros_like(self.held)
        for after, most in zip(self.after, landed.most_bytes, strict=True):
            found[after:] = most
        moment = int(np.argmax(self.held + found))
        return moment, int(self.held[moment]), int(found[moment])

    def by_category(self, landing: Sequence[Register]) -> dict[str, int]:
        """Return what makes up the arena of that rank."""
        found = dict.fromkeys(CATEGORIES, 0)
        for register in self.own:
            found[register.category] += register.arena_bytes
        lives, registers, placed = self.frame.lives, self.frame.registers, self.land(landing)
        moment, held, landed = self.fullest(placed)
        for i in np.flatnonzero((lives.first <= moment) & (lives.last >= moment)).tolist():
            found[registers[i].category] += registers[i].stride_bytes
        found["landing"] = landed
        found["gaps"] = placed.end - held - landed
        return {name: count for name, count in found.items() if count}

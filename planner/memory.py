"""Memory of a worker as a composition of factors, for one plan or for arrays of them.

The arena begins with the registers that have a place of their own. After them comes the frame, in
which the registers of one run of the passes share bytes where the order of the passes keeps their
lives apart. A second frame, for the next microbatch, lies in the same bytes upside down. Landing
registers are used only after the last gradients of their buckets on this worker, so they lie above
what is in use of the frame from then on (``planner.landing``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.landing import Room
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.packing import Lives, alive, followed, pack, tops
from planner.plan import Bucket, Plan, Training
from planner.registers import (
    Register,
    frame_count,
    fullest_landing,
    landing_bucket,
    own_registers,
    pass_registers,
    plan_buckets,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The packed registers of one microbatch."""

    registers: tuple[Register, ...]
    lives: Lives
    first_byte: Ints
    """(N,) where each begins."""
    size_bytes: int
    after: Ints
    """(L,) by layer: the position after the last gradient of its parameters, 0 without any."""
    free_from: Ints
    """(L,) by layer: the byte from which on nothing of the frame is in use from ``after`` on."""
    held_bytes: Ints
    """(L,) by layer: the most that is alive of the frame from ``after`` on."""
    follows: Ints
    """(T,) by position: which one of the microbatch before must be over, where it has a frame."""


def frame(
    model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
) -> Frame:
    """Return the registers of a frame, packed; kept with the model.

    It depends on workers, microbatch and frames alone; ``calls`` are known ones of that microbatch.
    """
    accumulates, frames = plan.microbatches(training.batch) > 1, frame_count(training, plan)
    key = ("frame", training, plan.microbatch, accumulates, frames)
    return model.once(key, lambda: _packed(model, training, plan, calls))


def _packed(model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None) -> Frame:
    registers, lives = pass_registers(model, training, plan, calls)
    stride = np.array([register.stride_bytes for register in registers], dtype=np.int64)
    after = np.zeros(len(model.layers), dtype=np.int64)
    landing = np.zeros(lives.positions + 1, dtype=np.int64)
    for position, firing in enumerate(model.passes):
        if firing.kind == "accumulate":
            after[firing.layer] = position + 1
            owned = model.layers[firing.layer].parameter_count
            landing[position + 1] = owned * DTYPE_BYTES[training.dtype]
    at = pack(lives, stride, landing)
    highest = tops(lives, at + stride)
    held = np.append(alive(lives, stride), 0)
    return Frame(
        registers=registers,
        lives=lives,
        first_byte=at,
        size_bytes=int(highest[0]),
        after=after,
        free_from=highest[after],
        held_bytes=np.maximum.accumulate(held[::-1])[::-1][after],
        follows=followed(lives, at + stride),
    )


def held_activations(packed: Frame) -> int:
    """Return the most bytes of activations that are alive at once: as many a sample for all sizes.

    Whether gradients are added up, and what an op takes as workspace, does not count.
    """
    sizes = [r.slot_bytes * (r.category == "activations") for r in packed.registers]
    return int(alive(packed.lives, np.array(sizes, dtype=np.int64)).max())


# Factors and their composition


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMemory:
    """Factor with axes (workers, microbatch, input slots, activation slots)."""

    own_bytes: int
    """Registers that share their place with no other."""
    kept_bytes: int
    """Those of them that live from step to step."""
    frame_bytes: int
    frames: int
    packed: Frame

    def landing_from(self, cut: Sequence[Bucket], *, overlap: bool) -> Room:
        """Return the room in which the buckets of ``cut`` land."""
        return landing_room(self.packed, self.kept_bytes, cut, overlap=overlap)


def landing_room(packed: Frame, kept_bytes: int, cut: Sequence[Bucket], *, overlap: bool) -> Room:
    """Return the room in which the buckets of ``cut`` land.

    Without overlap nothing lands before all passes are over.
    """
    last = last_layers(cut)
    return Room(
        free_from=packed.free_from[last] * overlap,
        held_bytes=packed.held_bytes[last] * overlap,
        frame_bytes=packed.size_bytes,
        kept_bytes=kept_bytes,
    )


def last_layers(cut: Sequence[Bucket]) -> list[int]:
    """Return by bucket the layer whose gradient comes last: the backward pass goes down."""
    return [min(bucket.layers) for bucket in cut]


def pass_memory(
    model: ModelGraph, training: Training, plan: Plan, packed: Frame | None = None
) -> PassMemory:
    """Return the memory of the passes; ``packed`` is the plan's frame, where it is known."""
    packed = packed or frame(model, training, plan)
    own = own_registers(model, training, plan)
    return PassMemory(
        own_bytes=sum(register.arena_bytes for register in own),
        kept_bytes=kept_bytes(own),
        frame_bytes=packed.size_bytes,
        frames=frame_count(training, plan),
        packed=packed,
    )


def kept_bytes(own: Sequence[Register]) -> int:
    """Return what lives from step to step, of the registers with a place of their own."""
    kept = ("parameters", "gradients", "optimizer")
    return sum(register.arena_bytes for register in own if register.category in kept)


def landed_bytes(model: ModelGraph, training: Training, plan: Plan) -> Ints:
    """Return what the first b + 1 buckets land on the fullest worker, shape (B,).

    Factor with axes (workers, algorithm, bucket size, landing slots).
    """
    count = len(plan_buckets(model, training, plan))
    return np.cumsum(bytes_by_bucket(fullest_landing(model, training, plan), count))


def bytes_by_bucket(landing: Sequence[Register], count: int) -> Ints:
    """Return the bytes of each bucket's landing registers, shape (B,), 0 where it has none."""
    found = np.zeros(count, dtype=np.int64)
    for register in landing:
        found[landing_bucket(register.name)] += register.arena_bytes
    return found


def landing_top(room: Room, landed: Ints) -> Ints:
    """Return the byte of the frame at which landing ends: over the last axis of ``landed``."""
    return room.top(landed)


def stacked_bytes(own_bytes: int | Ints, frame_bytes: int | Ints, top: int | Ints) -> Ints:
    """Compose the factors of one candidate, or of many: bytes of the arena of the fullest worker.

    ``top`` is the byte of the frame at which landing ends.
    """
    found: Ints = own_bytes + np.maximum(frame_bytes, top)
    return found


def plan_arena_bytes(model: ModelGraph, training: Training, plan: Plan) -> int:
    """Return the bytes of the arena of the fullest worker: the scalar path."""
    passes, cut = pass_memory(model, training, plan), plan_buckets(model, training, plan)
    room = passes.landing_from(cut, overlap=plan.overlap)
    top = landing_top(room, landed_bytes(model, training, plan))
    return int(stacked_bytes(passes.own_bytes, passes.frame_bytes, top))

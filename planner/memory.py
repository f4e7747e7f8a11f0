"""Memory of a worker as a composition of factors, for one plan or for arrays of them.

The arena begins with the registers that have a place of their own. After them come the frames, one
for each microbatch that may be under way; in a frame, registers of the passes share bytes where the
order of the passes keeps their lives apart. A landing register is used only after the last gradient
of its bucket on this worker, so it begins in the last frame, above what is in use from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.model import ModelGraph
from planner.packing import Lives, pack, tops
from planner.plan import Bucket, Plan, Training
from planner.registers import (
    Register,
    frame_count,
    fullest_landing,
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


def frame(
    model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
) -> Frame:
    """Pack the registers of a frame; it depends on workers and microbatch alone."""
    registers, lives = pass_registers(model, training, plan, calls)
    stride = np.array([register.stride_bytes for register in registers], dtype=np.int64)
    at = pack(lives, stride)
    highest = tops(lives, at + stride)
    after = np.zeros(len(model.layers), dtype=np.int64)
    for position, firing in enumerate(model.passes):
        if firing.kind == "accumulate":
            after[firing.layer] = position + 1
    return Frame(
        registers=registers,
        lives=lives,
        first_byte=at,
        size_bytes=int(highest[0]),
        after=after,
        free_from=highest[after],
    )


# Factors and their composition


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMemory:
    """Factor with axes (workers, microbatch, input slots, activation slots)."""

    own_bytes: int
    """Registers that share their place with no other."""
    frame_bytes: int
    frames: int
    free_from: Ints
    """(L,) as in :class:`Frame`."""

    def landing_from(self, cut: Sequence[Bucket], *, overlap: bool) -> Ints:
        """Return from which byte of the last frame on each bucket may land, shape (B,).

        Without overlap nothing lands before all passes are over.
        """
        return landing_from(self.free_from, cut, overlap=overlap)


def landing_from(free_from: Ints, cut: Sequence[Bucket], *, overlap: bool) -> Ints:
    """Return from which byte of the last frame on each bucket may land, shape (B,)."""
    if not overlap:
        return np.zeros(len(cut), dtype=np.int64)
    return free_from[last_layers(cut)]


def last_layers(cut: Sequence[Bucket]) -> list[int]:
    """Return by bucket the layer whose gradient comes last: the backward pass goes down."""
    return [min(bucket.layers) for bucket in cut]


def pass_memory(
    model: ModelGraph, training: Training, plan: Plan, packed: Frame | None = None
) -> PassMemory:
    """Return the memory of the passes; ``packed`` is the plan's frame, where it is known."""
    packed = packed or frame(model, training, plan)
    return PassMemory(
        own_bytes=sum(register.arena_bytes for register in own_registers(model, training, plan)),
        frame_bytes=packed.size_bytes,
        frames=frame_count(training, plan),
        free_from=packed.free_from,
    )


def landed_bytes(model: ModelGraph, training: Training, plan: Plan) -> Ints:
    """Return what the first b + 1 buckets land on the fullest worker, shape (B,).

    Factor with axes (workers, algorithm, bucket size, landing slots).
    """
    count = len(plan_buckets(model, training, plan))
    return np.cumsum(bytes_by_bucket(fullest_landing(model, training, plan), count))


def bytes_by_bucket(landing: Sequence[Register], count: int) -> Ints:
    """Return the bytes of each bucket's landing register, shape (B,), 0 where it has none."""
    found = {register.name: register.arena_bytes for register in landing}
    return np.array([found.get(f"landing.{b}", 0) for b in range(count)], dtype=np.int64)


def arena_bytes(
    own_bytes: int | Ints,
    frame_bytes: int | Ints,
    frames: int | Ints,
    landing_from: Ints,
    landed: Ints,
) -> Ints:
    """Compose the factors of one candidate, or of many: bytes of the arena of the fullest worker.

    Parameters
    ----------
    own_bytes, frame_bytes, frames : int, or int array of shape (P,)
    landing_from, landed : int array, shape (B,) or (P, B)
        As from :meth:`PassMemory.landing_from` and :func:`landed_bytes`; where candidates differ in
        B, the last column repeats.

    Notes
    -----
    Of two buckets the later one lies lower, at the first byte that is free to it. So bucket b and
    all before it lie above ``landing_from[b]``, and some bucket has no gap beneath.
    """
    return stacked_bytes(own_bytes, frame_bytes, frames, landing_top(landing_from, landed))


def landing_top(landing_from: Ints, landed: Ints) -> Ints:
    """Return the byte of the last frame at which landing ends: over B of :func:`arena_bytes`."""
    top: Ints = (landing_from + landed).max(axis=-1)
    return top


def stacked_bytes(
    own_bytes: int | Ints, frame_bytes: int | Ints, frames: int | Ints, top: Ints
) -> Ints:
    """Compose an arena whose landing ends at ``top`` of the last frame."""
    last = np.maximum(frame_bytes, top)
    found: Ints = own_bytes + np.maximum(np.asarray(frames) - 1, 0) * frame_bytes + last
    return found


def plan_arena_bytes(model: ModelGraph, training: Training, plan: Plan) -> int:
    """Return the bytes of the arena of the fullest worker: the scalar path."""
    passes, cut = pass_memory(model, training, plan), plan_buckets(model, training, plan)
    found = arena_bytes(
        passes.own_bytes,
        passes.frame_bytes,
        passes.frames,
        passes.landing_from(cut, overlap=plan.overlap),
        landed_bytes(model, training, plan),
    )
    return int(found)

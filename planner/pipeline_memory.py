"""What each stage of a pipeline holds: one list of registers for the task graph and for the sum.

A stage keeps, of every microbatch in flight, what it was sent (and, unless it runs forward again,
all that its backward pass needs), and has one frame in which the passes of a microbatch run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from planner.calls import StepCalls
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.packing import Lives, alive
from planner.passes import Firing
from planner.pipeline import PipelinePlan, one_microbatch, schedule
from planner.plan import Training
from planner.registers import Register, lasting_registers, touched
from planner.stage_times import is_recomputed
from planner.stages import Crossing, Tie, stage_of

AHEAD = 2
"""Slots of what waits to be sent: one is filled while the other is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one microbatch needs on a stage, bytes."""

    peak_bytes: int
    """The most that is alive in its passes."""
    kept_bytes: int
    """Of that, what is alive between them."""


def stage_frames(model: ModelGraph, training: Training, plan: PipelinePlan) -> list[Frame]:
    """Return by stage what the passes of one microbatch need."""
    calls = StepCalls.of(model, training, one_microbatch(plan))
    stages, accumulates = stage_of(plan.balance), plan.microbatches(training.batch) > 1
    fired: list[list[Firing]] = [[] for _ in plan.balance]
    for firing in model.passes:
        if firing.kind != "accumulate" or accumulates:
            fired[stages[firing.layer]].append(firing)  # the loss is layer -1, the last one's
    return [_frame(model, calls, firings, accumulates=accumulates) for firings in fired]


def _frame(
    model: ModelGraph, calls: StepCalls, firings: Sequence[Firing], *, accumulates: bool
) -> Frame:
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    size: dict[str, int] = {}
    pivot = sum(firing.kind == "forward" for firing in firings)
    for at, firing in enumerate(firings):
        for name, _, size_bytes in touched(model, calls, firing, accumulates=accumulates):
            first.setdefault(name, at)
            last[name] = at
            size[name] = max(size.get(name, 0), size_bytes)
    lives = Lives(
        names=tuple(first),
        first=np.array(list(first.values()), dtype=np.int64),
        last=np.array([last[name] for name in first], dtype=np.int64),
        pivot=pivot,
        positions=len(firings),
    )
    held = np.array([size[name] for name in first], dtype=np.int64)
    kept = (lives.first < pivot) & (lives.last >= pivot)
    return Frame(
        peak_bytes=int(alive(lives, held).max(initial=0)), kept_bytes=int(held[kept].sum())
    )


def stage_registers(
    model: ModelGraph,
    training: Training,
    plan: PipelinePlan,
    crossing: Sequence[Crossing],
    tied: Sequence[Tie] = (),
) -> tuple[dict[str, Register], ...]:
    """Return by stage what it holds, by name."""
    frames = stage_frames(model, training, plan)
    return tuple(
        {
            register.name: register
            for register in (
                *_of_stage(model, training, plan, at),
                *_of_ties(training, tied, at),
                *_of_crossings(training, plan, crossing, at),
                *_of_passes(model, training, plan, crossing, frames[at], at),
            )
        }
        for at in range(plan.stages)
    )


def _of_stage(
    model: ModelGraph, training: Training, plan: PipelinePlan, at: int
) -> tuple[Register, ...]:
    """Return what lives from step to step."""
    first = sum(plan.balance[:at])
    layers = model.layers[first : first + plan.balance[at]]
    return lasting_registers(training, sum(layer.parameter_count for layer in layers))


def _of_ties(training: Training, tied: Sequence[Tie], at: int) -> Iterator[Register]:
    """Yield copies of tables with their gradients, and where these land at the owner."""
    for number, tie in enumerate(tied):
        size = tie.elements * DTYPE_BYTES[training.dtype]
        if tie.owner == at:
            yield Register(name=f"tied.{number}", category="gradients", slots=1, slot_bytes=size)
        if tie.borrower == at:
            name = f"copied.{number}"
            yield Register(name=name, category="parameters", slots=2, slot_bytes=size)


def in_flight(plan: PipelinePlan, batch: int, stage: int) -> int:
    """Return the microbatches whose backward pass is open on a stage, at most."""
    count: int = schedule(plan.schedule).in_flight(stage, plan.stages, plan.microbatches(batch))
    return count


def _of_crossings(
    training: Training, plan: PipelinePlan, crossing: Sequence[Crossing], at: int
) -> Iterator[Register]:
    """Yield where values and gradients wait to be sent, and where they land.

    A value stays from the forward pass of its source to the backward pass of its target, a gradient
    until its source, so many stages below, is as far.
    """
    rounds = plan.microbatches(training.batch)
    for number, c in enumerate(crossing):
        slot_bytes = c.elements * plan.microbatch * DTYPE_BYTES[training.dtype]
        waits = min(rounds, AHEAD)
        found = [
            ("sent", c.source, "transfers", waits),
            ("value", c.target, "stashed", in_flight(plan, training.batch, c.source)),
        ]
        if c.returns:
            apart = min(rounds, c.target - c.source + 1)
            found += [("returned", c.target, "transfers", waits)]
            found += [("gradient", c.source, "transfers", apart)]
        for name, stage, category, slots in found:
            if stage == at:
                yield Register(
                    name=f"{name}.{number}", category=category, slots=slots, slot_bytes=slot_bytes
                )


def _of_passes(
    model: ModelGraph,
    training: Training,
    plan: PipelinePlan,
    crossing: Sequence[Crossing],
    frame: Frame,
    at: int,
) -> Iterator[Register]:
    """Yield the input of the first stage, what is kept, and frames."""
    item = plan.microbatch * DTYPE_BYTES[training.dtype]
    count = in_flight(plan, training.batch, at)
    if at == 0:
        size = prod(model.input_shape) * item
        yield Register(name="x", category="stashed", slots=count, slot_bytes=size)
    held = sum(c.elements for c in crossing if c.target == at) * item
    if plan.recompute == "never":
        kept = max(0, frame.kept_bytes - held)
        yield Register(name="kept", category="activations", slots=count, slot_bytes=kept)
        held = max(frame.kept_bytes, held)
    yield Register(
        name="frame",
        category="activations",
        slots=_frames(plan, plan.microbatches(training.batch), at),
        slot_bytes=max(0, frame.peak_bytes - held),
    )


def _frames(plan: PipelinePlan, microbatches: int, at: int) -> int:
    """Return how many frames are in use at once: of a pass, and of one that is not run again."""
    most, held = 1, set[int]()
    keeps = plan.recompute == "except-last"
    for phase, number in schedule(plan.schedule).order(at, plan.stages, microbatches):
        most = max(most, len(held - {number}) + 1)
        if phase == "backward":
            held -= {number}
        elif keeps and not is_recomputed(plan.recompute, number, microbatches):
            held |= {number}
    return most

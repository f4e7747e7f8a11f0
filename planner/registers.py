"""Registers of one worker: every array it holds during a step, by category, with its slots.

One list serves the memory formula of the search, the task graph and the arena of the executor;
``planner.memory`` says where each lies.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planner.calls import StepCalls
from planner.landings import widest_landings
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, OpCall
from planner.optimizer import optimizer
from planner.packing import Lives
from planner.passes import OUTSIDE, STATS, is_parameter, partial
from planner.plan import Bucket, Plan, Training, buckets
from planner.steps import load, loss

ALIGNMENT_BYTES = 64  # one cache line, and the widest vector register (AVX-512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A named place for ``slots`` arrays of one size."""

    name: str
    category: str
    """``parameters``, ``gradients``, ``optimizer``, ``input``, ``activations``, ``workspace`` or
    ``landing``."""
    slots: int
    slot_bytes: int

    @property
    def stride_bytes(self) -> int:
        """Bytes from one slot to the next."""
        return -(-self.slot_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES

    @property
    def arena_bytes(self) -> int:
        """Bytes of all slots."""
        return self.slots * self.stride_bytes


def plan_buckets(model: ModelGraph, training: Training, plan: Plan) -> tuple[Bucket, ...]:
    """Return the gradient buckets of a plan; one bucket when there is nobody to exchange with."""
    if plan.workers == 1:
        return buckets(model, model.parameter_count)
    return buckets(model, max(1, plan.bucket_bytes // DTYPE_BYTES[training.dtype]))


def worker_registers(
    model: ModelGraph, training: Training, plan: Plan, rank: int
) -> tuple[Register, ...]:
    """Return the registers of ``rank``."""
    landing = landing_registers(model, training, plan)[rank]
    return (*step_registers(model, training, plan), *landing)


def step_registers(model: ModelGraph, training: Training, plan: Plan) -> tuple[Register, ...]:
    """Return the registers that every worker has, whatever the exchange."""
    return (*own_registers(model, training, plan), *pass_registers(model, training, plan)[0])


def own_registers(model: ModelGraph, training: Training, plan: Plan) -> tuple[Register, ...]:
    """Return the registers that share their place with no other: alive all step, or loaded."""
    flat_bytes = model.parameter_count * DTYPE_BYTES[training.dtype]

    def register(name: str, category: str, slots: int, slot_bytes: int) -> Register:
        return Register(name=name, category=category, slots=slots, slot_bytes=slot_bytes)

    found = [
        register("parameters", "parameters", 1, flat_bytes),
        register("gradients", "gradients", 1, flat_bytes),
        *(register(x, "optimizer", 1, flat_bytes) for x in optimizer(training.optimizer).STATES),
    ]
    x, labels, raw = load(model, plan.microbatch, training.dtype).writes
    *_, stats = loss(model, plan.microbatch, training.dtype, training.batch).writes
    rounds = plan.microbatches(training.batch)
    found += [
        register("x", "input", plan.input_slots, x.size_bytes),
        register("labels", "input", plan.input_slots, labels.size_bytes),
    ]
    if not plan.decode_workers:
        found.append(register("raw", "input", 1, raw.size_bytes))
    found.append(register(STATS, "activations", rounds, stats.size_bytes))
    return tuple(found)


def frame_count(training: Training, plan: Plan) -> int:
    """Return how many microbatches may be under way, each with a frame of registers: two at most.

    The second begins where the first gives back, so a third never finds room beside both.
    """
    return min(2, plan.activation_slots, plan.microbatches(training.batch))


def pass_registers(
    model: ModelGraph, training: Training, plan: Plan, calls: StepCalls | None = None
) -> tuple[tuple[Register, ...], Lives]:
    """Return the registers of a frame and when in the passes they are alive, one slot a frame.

    ``calls`` are those of the plan, where they are known already.
    """
    calls = calls or StepCalls.of(model, training, plan)
    accumulates = plan.microbatches(training.batch) > 1
    item = DTYPE_BYTES[training.dtype]
    size: dict[str, int] = {}
    category: dict[str, str] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    pivot = 0

    def touch(register: str, kind: str, at: int, size_bytes: int) -> None:
        category.setdefault(register, kind)
        first.setdefault(register, at)
        last[register] = at
        if size_bytes > size.get(register, -1):
            size[register] = size_bytes

    touched_by = _touches()
    for at, firing in enumerate(model.passes):
        if firing.kind == "accumulate" and not accumulates:
            continue
        if firing.kind == "loss":
            pivot = at
        parameters = model.layers[firing.layer].parameter_count
        call = firing.call(calls, parameters)
        if firing.kind == "weight_grad" and accumulates:
            names = {**model.layers[firing.layer].parameters, **model.layers[firing.layer].borrowed}
            for owner in sorted({model.owner(firing.layer, name) for name in names}):
                whole_bytes = model.layers[owner].parameter_count * item
                touch(partial(model, owner), "gradients", at, whole_bytes)
        work_bytes, arrays = touched_by(call)
        if call.work:
            touch(firing.workspace, "workspace", at, work_bytes)
        for tensor, size_bytes in arrays:
            if (name := firing.places[tensor]) not in OUTSIDE:
                touch(name, "activations", at, size_bytes)
    slots = frame_count(training, plan)
    registers = tuple(
        Register(name=name, category=category[name], slots=slots, slot_bytes=size[name])
        for name in size
    )
    lives = Lives(
        names=tuple(size),
        first=np.array(list(first.values()), dtype=np.int64),
        last=np.array([last[name] for name in first], dtype=np.int64),
        pivot=pivot,
        positions=len(model.passes),
    )
    return registers, lives


def _touches() -> Callable[[OpCall], tuple[int, tuple[tuple[str, int], ...]]]:
    """Return a call to its workspace and its arrays but parameters; equal layers share calls."""
    known: dict[int, tuple[OpCall, int, tuple[tuple[str, int], ...]]] = {}

    def touched_by(call: OpCall) -> tuple[int, tuple[tuple[str, int], ...]]:
        if id(call) not in known:  # the call is kept, or another might get its id
            arrays = (t for t in (*call.reads, *call.updates, *call.writes) if not is_parameter(t))
            work_bytes = sum(t.size_bytes for t in call.work)
            known[id(call)] = call, work_bytes, tuple((t.name, t.size_bytes) for t in arrays)
        return known[id(call)][1:]

    return touched_by


def landing_registers(
    model: ModelGraph, training: Training, plan: Plan
) -> list[tuple[Register, ...]]:
    """Return, by rank, one landing register a bucket, where the algorithm lands anything there."""
    if plan.workers == 1:
        return [()]
    item, cut = DTYPE_BYTES[training.dtype], plan_buckets(model, training, plan)
    column = {n: i for i, n in enumerate(sorted({bucket.elements for bucket in cut}))}
    widths = widest_landings(plan.algorithm, plan.workers, tuple(column)) * item
    each: dict[bytes, tuple[Register, ...]] = {}
    for row in widths:
        if row.tobytes() not in each:
            each[row.tobytes()] = tuple(
                Register(
                    name=f"landing.{number}",
                    category="landing",
                    slots=plan.landing_slots,
                    slot_bytes=int(row[column[bucket.elements]]),
                )
                for number, bucket in enumerate(cut)
                if row[column[bucket.elements]]
            )
    return [each[row.tobytes()] for row in widths]


def fullest_landing(model: ModelGraph, training: Training, plan: Plan) -> tuple[Register, ...]:
    """Return the landing registers of the worker that has most of them, by bytes."""
    each = dict.fromkeys(landing_registers(model, training, plan))
    return max(each, key=lambda found: sum(register.arena_bytes for register in found))

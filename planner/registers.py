"""Registers of one worker: every array it holds during a step, by category, with its slots.

One list serves the memory formula of the search, the task graph and the arena of the executor;
``planner.memory`` says where each lies.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from planner.algorithms import algorithm, name_at
from planner.calls import StepCalls
from planner.emission import script_of
from planner.made import Made
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.optimizer import optimizer
from planner.packing import Lives
from planner.passes import OUTSIDE, STATS, Firing, is_parameter, partial
from planner.plan import Bucket, Plan, Training, buckets
from planner.precision import MASTERS, has_masters, kept_dtype, scaling
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


@dataclass(slots=True, eq=False)
class RegisterNames(Made[str]):
    """Full names of registers by id, ``NAME@OWNER``, made when somebody asks; append-only."""

    parts: list[tuple[Sequence[str], str]] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    """By part: the id of its first register."""

    def add(self, names: Sequence[str], owner: str) -> None:
        """Add the next registers of one owner."""
        self.firsts.append(len(self))
        self.parts.append((names, owner))

    def __len__(self) -> int:
        return self.firsts[-1] + len(self.parts[-1][0]) if self.parts else 0

    def made(self, at: int) -> str:
        """Return name ``at``."""
        part = bisect_right(self.firsts, at) - 1
        names, owner = self.parts[part]
        return f"{names[at - self.firsts[part]]}@{owner}"

    def __iter__(self) -> Iterator[str]:
        return (f"{name}@{owner}" for names, owner in self.parts for name in names)


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


def lasting_registers(training: Training, parameters: int) -> tuple[Register, ...]:
    """Return what so many parameters take from step to step, gradients included."""
    item, kept_item = (DTYPE_BYTES[name] for name in (training.dtype, kept_dtype(training.dtype)))
    kept = ((MASTERS,) * has_masters(training.dtype)) + optimizer(training.optimizer).STATES
    rows = [("parameters", "parameters", parameters * item)]
    rows += [("gradients", "gradients", parameters * item)]
    rows += [(name, "optimizer", parameters * kept_item) for name in kept]
    if has_masters(training.dtype):
        rows.append((scaling().name, "optimizer", scaling().size_bytes))
    return tuple(
        Register(name=name, category=category, slots=1, slot_bytes=size)
        for name, category, size in rows
    )


def own_registers(model: ModelGraph, training: Training, plan: Plan) -> tuple[Register, ...]:
    """Return the registers that share their place with no other: alive all step, or loaded."""

    def register(name: str, category: str, slots: int, slot_bytes: int) -> Register:
        return Register(name=name, category=category, slots=slots, slot_bytes=slot_bytes)

    found = list(lasting_registers(training, model.parameter_count))
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
    size: dict[str, int] = {}
    category: dict[str, str] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    pivot = 0

    for at, firing in enumerate(model.passes):
        if firing.kind == "accumulate" and not accumulates:
            continue
        if firing.kind == "loss":
            pivot = at
        for name, kind, size_bytes in touched(model, calls, firing, accumulates=accumulates):
            category.setdefault(name, kind)
            first.setdefault(name, at)
            last[name] = at
            size[name] = max(size.get(name, 0), size_bytes)
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


def touched(
    model: ModelGraph, calls: StepCalls, firing: Firing, *, accumulates: bool
) -> Iterator[tuple[str, str, int]]:
    """Yield name, category and bytes of each register of a frame that an op touches.

    ``accumulates`` says whether gradients of several microbatches are added up.
    """
    layer = model.layers[firing.layer]
    call = firing.call(calls, layer.parameter_count)
    if firing.kind == "weight_grad" and accumulates:
        names = {**layer.parameters, **layer.borrowed}
        for owner in sorted({model.owner(firing.layer, name) for name in names}):
            elements = model.layers[owner].parameter_count
            yield partial(model, owner), "gradients", elements * DTYPE_BYTES[calls.training.dtype]
    if call.work:
        yield firing.workspace, "workspace", sum(t.size_bytes for t in call.work)
    for tensor in (*call.reads, *call.updates, *call.writes):
        if not is_parameter(tensor) and (name := firing.places[tensor.name]) not in OUTSIDE:
            yield name, "activations", tensor.size_bytes


def landing_registers(
    model: ModelGraph, training: Training, plan: Plan
) -> list[tuple[Register, ...]]:
    """Return, by rank, the landing registers of each bucket, one a channel by which anything lands.

    Ranks alike share theirs.
    """
    if plan.workers == 1:
        return [()]
    elements = [bucket.elements for bucket in plan_buckets(model, training, plan)]
    widths = [_landing(name_at(plan.algorithm, n), plan.workers, n) for n in elements]
    found: dict[tuple[tuple[int, ...], ...], tuple[Register, ...]] = {}
    every = list(zip(*widths, strict=True))
    for widest in every:
        if widest not in found:
            found[widest] = _landing_of(widest, plan.landing_slots, DTYPE_BYTES[training.dtype])
    return [found[widest] for widest in every]


def _landing_of(
    widest: Sequence[Sequence[int]], slots: int, item_bytes: int
) -> tuple[Register, ...]:
    """Return the landing registers of a rank, told the widest arrival by bucket and channel."""
    return tuple(
        Register(
            name=landing_name(number, channel),
            category="landing",
            slots=slots,
            slot_bytes=elements * item_bytes,
        )
        for number, channels in enumerate(widest)
        for channel, elements in enumerate(channels)
        if elements
    )


@lru_cache(maxsize=4096)
def _landing(name: str, workers: int, elements: int) -> list[tuple[int, ...]]:
    """Return the widest arrival of each worker and channel."""
    widest = script_of(algorithm(name).emit, workers).landing(elements)
    return [tuple(channels) for channels in widest.tolist()]


def landing_name(bucket: int, channel: int = 0) -> str:
    """Return the name of the register where a bucket lands by a channel.

    >>> landing_name(3), landing_name(3, 1)
    ('landing.3', 'landing.3.1')
    """
    return f"landing.{bucket}.{channel}" if channel else f"landing.{bucket}"


def landing_bucket(name: str) -> int:
    """Return the bucket of a landing register, by its name.

    >>> landing_bucket("landing.3.1")
    3
    """
    return int(name.split(".")[1])


def fullest_landing(model: ModelGraph, training: Training, plan: Plan) -> tuple[Register, ...]:
    """Return the landing registers of the worker that has most of them, by bytes."""
    each = {id(own): own for own in landing_registers(model, training, plan)}
    return max(each.values(), key=lambda own: sum(register.arena_bytes for register in own))

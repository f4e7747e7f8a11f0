"""Registers of one worker: every array it holds during a step, by category, with its slots.

One list serves both the memory formula of the search and the arena of the executor, so the two
cannot disagree: the arena is these registers, one after the other, each slot aligned to 64 bytes.
"""

from dataclasses import dataclass

from planner.collectives.base import algorithm, traffic
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, OpCall, Tensor
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
        """Bytes the register takes in the arena."""
        return self.slots * self.stride_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCalls:
    """The op calls of one layer for one microbatch."""

    forward: OpCall
    weight_grad: OpCall | None
    input_grad: OpCall | None

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """What forward writes beside ``y``, for the backward pass."""
        return self.forward.writes[1:]

    @property
    def workspace_bytes(self) -> int:
        """Bytes that the input gradient needs beside its result."""
        extra = self.input_grad.writes[1:] if self.input_grad else ()
        return sum(t.size_bytes for t in extra)


def layer_calls(model: ModelGraph, samples: int, dtype: str) -> tuple[LayerCalls, ...]:
    """Return the op calls of every layer; input gradients stop above the first parameters."""
    first = model.first_trained
    return tuple(
        LayerCalls(
            forward=layer.call("forward", samples, dtype),
            weight_grad=layer.call("weight_grad", samples, dtype) if layer.parameters else None,
            input_grad=layer.call("input_grad", samples, dtype) if i > first else None,
        )
        for i, layer in enumerate(model.layers)
    )


def plan_buckets(model: ModelGraph, training: Training, plan: Plan) -> tuple[Bucket, ...]:
    """Return the gradient buckets of a plan; one bucket when there is nobody to exchange with."""
    if plan.workers == 1:
        return buckets(model, model.parameter_count)
    return buckets(model, max(1, plan.bucket_bytes // DTYPE_BYTES[training.dtype]))


def worker_registers(
    model: ModelGraph, training: Training, plan: Plan, rank: int
) -> tuple[Register, ...]:
    """Return the registers of ``rank``, in arena order."""
    landing = landing_registers(model, training, plan, rank)
    return (*step_registers(model, training, plan), *landing)


def step_registers(model: ModelGraph, training: Training, plan: Plan) -> tuple[Register, ...]:
    """Return the registers that every worker has, whatever the exchange."""
    item = DTYPE_BYTES[training.dtype]
    calls = layer_calls(model, plan.microbatch, training.dtype)
    flat_bytes = model.parameter_count * item
    rounds = plan.microbatches(training.batch)

    def register(name: str, category: str, slots: int, slot_bytes: int) -> Register:
        return Register(name=name, category=category, slots=slots, slot_bytes=slot_bytes)

    found = [
        register("parameters", "parameters", 1, flat_bytes),
        register("gradients", "gradients", 1, flat_bytes),
        register("momentum", "optimizer", 1, flat_bytes),
    ]
    x, labels, raw = load(model, plan.microbatch, training.dtype).writes
    found += [
        register("x", "input", plan.input_slots, x.size_bytes),
        register("labels", "input", plan.input_slots, labels.size_bytes),
        register("raw", "input", 1, raw.size_bytes),
    ]
    for layer, call in zip(model.layers, calls, strict=True):
        for tensor in call.forward.writes:
            name = f"{layer.name}.{tensor.name}"
            found.append(register(name, "activations", plan.activation_slots, tensor.size_bytes))
        if call.input_grad:
            dx = call.input_grad.writes[0]
            found.append(register(f"{layer.name}.dx", "activations", 1, dx.size_bytes))
    gradient, stats = loss(model, plan.microbatch, training.dtype, training.batch).writes
    found += [
        register("loss.dx", "activations", 1, gradient.size_bytes),
        register("loss.stats", "activations", rounds, stats.size_bytes),
        register("workspace", "workspace", 1, max(c.workspace_bytes for c in calls)),
    ]
    if rounds > 1:
        widest = max(layer.parameter_count for layer in model.layers)
        found.append(register("partial", "gradients", 1, widest * item))
    return tuple(found)


def landing_registers(
    model: ModelGraph, training: Training, plan: Plan, rank: int
) -> list[Register]:
    """Return one landing register a bucket, where the algorithm lands anything at ``rank``."""
    found: list[Register] = []
    if plan.workers == 1:
        return found
    item = DTYPE_BYTES[training.dtype]
    for number, bucket in enumerate(plan_buckets(model, training, plan)):
        moved = traffic(algorithm(plan.algorithm).emit, bucket.elements, plan.workers)
        widest = moved.landing_elements(rank)
        if widest:
            landing = Register(
                name=f"landing.{number}",
                category="landing",
                slots=plan.landing_slots,
                slot_bytes=widest * item,
            )
            found.append(landing)
    return found


def fullest_landing(model: ModelGraph, training: Training, plan: Plan) -> list[Register]:
    """Return the landing registers of the worker that has most of them, by bytes."""
    each = [landing_registers(model, training, plan, rank) for rank in range(plan.workers)]
    return max(each, key=lambda found: sum(register.arena_bytes for register in found))


def memory_bytes(model: ModelGraph, training: Training, plan: Plan) -> dict[str, int]:
    """Arena bytes of the fullest worker by category."""
    totals: dict[str, int] = {}
    landing = fullest_landing(model, training, plan)
    for register in (*step_registers(model, training, plan), *landing):
        totals[register.category] = totals.get(register.category, 0) + register.arena_bytes
    return totals

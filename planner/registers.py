"""Registers of one worker: every array it holds during a step, by category, with its slots.

One list serves both the memory formula of the search and the arena of the executor, so the two
cannot disagree: the arena is these registers, one after the other, each slot aligned to 64 bytes.
"""

from dataclasses import dataclass

from planner.collectives.base import algorithm, traffic
from planner.layer_calls import layer_calls
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, Tensor
from planner.optimizer import optimizer
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
        *(register(x, "optimizer", 1, flat_bytes) for x in optimizer(training.optimizer).STATES),
    ]
    x, labels, raw = load(model, plan.microbatch, training.dtype).writes
    found += [
        register("x", "input", plan.input_slots, x.size_bytes),
        register("labels", "input", plan.input_slots, labels.size_bytes),
    ]
    if not plan.decode_workers:
        found.append(register("raw", "input", 1, raw.size_bytes))
    wiring = model.wiring
    for i, (layer, call) in enumerate(zip(model.layers, calls, strict=True)):

        def own(tensor: Tensor, slots: int, of: str = layer.name) -> Register:
            return register(f"{of}.{tensor.name}", "activations", slots, tensor.size_bytes)

        y, *kept = call.forward.writes
        in_place = wiring.outputs[i] != f"{layer.name}.y"
        found += [own(t, plan.activation_slots) for t in ([] if in_place else [y]) + kept]
        found += [own(t, 1) for t in call.handed]
        if call.input_grad:
            results = zip(wiring.input_grads[i], call.input_grad.writes, strict=False)
            found += [own(t, 1) for name, t in results if name == f"{layer.name}.{t.name}"]
        if wiring.gradients[i] == f"{layer.name}.dy":
            found.append(register(f"{layer.name}.dy", "activations", 1, y.size_bytes))
    *gradients, stats = loss(model, plan.microbatch, training.dtype, training.batch).writes
    found += [register(f"loss.{t.name}", "activations", 1, t.size_bytes) for t in gradients]
    found += [
        register("loss.stats", "activations", rounds, stats.size_bytes),
        register("workspace", "workspace", 1, max(call.workspace_bytes for call in calls)),
    ]
    if rounds > 1:
        widest = max(layer.parameter_count for layer in model.layers)
        found.append(register("partial", "gradients", 1, widest * item))
        for owner in model.lenders.values():
            table_bytes = model.layers[owner].parameter_count * item
            found.append(register(f"{model.layers[owner].name}.dw", "gradients", 1, table_bytes))
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

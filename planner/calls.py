"""The op calls of a plan, each as cold as a step of that plan leaves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hwprofiles.units import MIB
from planner import steps
from planner.input_calls import InputCalls, input_calls
from planner.layer_calls import LayerCalls, layer_calls
from planner.model import ModelGraph
from planner.opcall import OpCall
from planner.optimizer import closing, update
from planner.plan import Plan, Training
from planner.precision import judge

REUSE_STEP_BYTES = 2 * MIB
"""Coldness is rounded up to a multiple of this, which keeps distinct measurements few."""

CODE_STAYS_BYTES = 8 * MIB
"""Code is warm where less has passed since its kind ran last.

Four times the own cache of a core of Sapphire Rapids: there, in steps of LeNet-5 and of gpt-nano,
kinds that had run 9 MB ago and more took as long as with their code swept out, those that had run
up to 5 MB ago mostly as with their code kept, for kinds share much of it.
"""


def rounded_reuse(traffic_bytes: int) -> int:
    """Round what is moved between two firings of an op up to whole steps of 2 MiB.

    Traffic, not footprint: a last-level cache that takes in what the private ones throw out ages
    with every byte that passes. On two cores of an AMD EPYC (Zen 5, 32 MiB shared), sweeping this
    much between calls reproduced the sum of op times inside a step of LeNet-5 at microbatch 16
    within 5 %, where sweeping the arena's size fell 10 % short.

    >>> rounded_reuse(10_200_000) == 10 * MIB
    True
    """
    return max(1, -(-traffic_bytes // REUSE_STEP_BYTES)) * REUSE_STEP_BYTES


def cold_codes(fired: Sequence[tuple[str, int]], beside_bytes: int) -> list[bool]:
    """Say of each firing of a microbatch whether its code has left the cache.

    ``fired`` are kind and bytes moved, in step order; ``beside_bytes`` more pass between two
    microbatches. Phases of a kind share code.

    >>> cold_codes([("load", 9 << 20), ("tanh", 1 << 20), ("tanh", 1 << 20)], 0)
    [True, True, False]
    """
    ends, at = {}, 0
    for kind, moved_bytes in fired:
        at += moved_bytes
        ends[kind] = at
    last = {kind: end - at - beside_bytes for kind, end in ends.items()}
    found, at = [], 0
    for kind, moved_bytes in fired:
        found.append(at - last[kind] >= CODE_STAYS_BYTES)
        at += moved_bytes
        last[kind] = at
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCalls:
    """Every op call of one step of one worker."""

    load: OpCall
    """Read and decode; where a pipeline does both, the copy of what it has decoded."""
    inputs: InputCalls | None
    """What the input pipeline of the plan calls, where it has one."""
    layers: tuple[LayerCalls, ...]
    loss: OpCall
    training: Training
    step_reuse_bytes: int
    """Coldness of what fires once a step: update and exchange."""
    parameters: int
    """Of the model; the update of all of them is the only one of a step."""
    made: dict[tuple[str, int], OpCall] = field(default_factory=dict, repr=False, compare=False)
    """Calls that fire once a step, by kind and elements, as far as anybody asked."""

    @classmethod
    def of(cls, model: ModelGraph, training: Training, plan: Plan) -> "StepCalls":
        """Return the calls of ``plan``, which depend on its workers and microbatch alone.

        They are kept with the model, unless the plan has an input pipeline.
        """
        if plan.decode_workers:
            return cls._of(model, training, plan)
        key = ("step calls", training, plan.microbatch, plan.microbatches(training.batch))
        return model.once(key, lambda: cls._of(model, training, plan))

    @classmethod
    def _of(cls, model: ModelGraph, training: Training, plan: Plan) -> "StepCalls":
        samples, rounds = plan.microbatch, plan.microbatches(training.batch)
        layers = layer_calls(model, samples, training.dtype)
        inputs = input_calls(model, training, plan) if plan.decode_workers else None
        load = inputs.copy if inputs else steps.load(model, samples, training.dtype)
        loss = steps.loss(model, samples, training.dtype, training.batch)
        updated = sum(call.moved_bytes for call in closing(training, model.parameter_count))
        backward = [call for calls in reversed(layers) for call in calls.fired[1:]]
        order = [load, *(calls.forward for calls in layers), loss, *backward]
        kinds = {
            id(call): (call.kind, call.moved_bytes) for call in {id(c): c for c in order}.values()
        }
        fired = [kinds[id(call)] for call in order]  # equal layers share their calls
        passed = sum(moved_bytes for _, moved_bytes in fired)
        between = rounded_reuse(passed + updated // rounds)

        made: dict[tuple[int, bool, bool], OpCall] = {}
        codes = iter(cold_codes(fired, updated // rounds))
        wiring = model.wiring

        def cold(call: OpCall, *, in_place: bool = False) -> OpCall:
            """Return the next call of the order as cold; equal layers go on sharing theirs."""
            key = (id(call), next(codes), in_place)
            if key not in made:
                made[key] = replace(call, reuse_bytes=between, cold_code=key[1], in_place=in_place)
            return made[key]

        def own(call: OpCall) -> OpCall:  # nothing else runs between two firings
            return replace(call, reuse_bytes=rounded_reuse(call.moved_bytes))

        load = cold(load)
        if inputs:
            inputs = InputCalls(read=own(inputs.read), decode=own(inputs.decode), copy=load)
        forward = [
            cold(c.forward, in_place=y == x[0])
            for c, x, y in zip(layers, wiring.inputs, wiring.outputs, strict=True)
        ]
        loss = cold(loss)
        backward_of = [
            (
                tuple(map(cold, c.sums)),
                cold(c.weight_grad) if c.weight_grad else None,
                cold(c.input_grad, in_place=dx[0] == dy) if c.input_grad else None,
            )
            for c, dx, dy in reversed(
                list(zip(layers, wiring.input_grads, wiring.gradients, strict=True))
            )
        ]
        return cls(
            load=load,
            inputs=inputs,
            layers=tuple(
                LayerCalls(forward=y, weight_grad=dw, input_grad=dx, sums=sums)
                for y, (sums, dw, dx) in zip(forward, reversed(backward_of), strict=True)
            ),
            loss=loss,
            training=training,
            step_reuse_bytes=rounded_reuse(rounds * passed + updated),
            parameters=model.parameter_count,
        )

    def add(self, elements: int) -> OpCall:
        """Return the addition of ``elements`` gradients."""
        return self._once("add", elements, lambda: steps.add(elements, self.training.dtype))

    def judge(self, elements: int) -> OpCall:
        """Return the check of all gradients of a scaled loss."""
        return self._once("judge", elements, lambda: judge(elements, self.training.dtype))

    def update(self, elements: int) -> OpCall:
        """Return the optimizer over ``elements`` parameters."""
        is_cold = elements == self.parameters and self.step_reuse_bytes > CODE_STAYS_BYTES
        return self._once(
            "update", elements, lambda: replace(update(self.training, elements), cold_code=is_cold)
        )

    def _once(self, kind: str, elements: int, make: Callable[[], OpCall]) -> OpCall:
        """Return a call of the end of a step, one object for each size."""
        if (kind, elements) not in self.made:
            call = replace(make(), reuse_bytes=self.step_reuse_bytes)
            self.made[kind, elements] = call
        return self.made[kind, elements]

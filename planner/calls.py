"""The op calls of a plan, each as cold as a step of that plan leaves it."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

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
        fired = [call for calls in layers for call in calls.fired]
        counts = Counter(map(id, fired))  # equal layers share their calls
        own_bytes = {id(call): call.moved_bytes for call in {id(c): c for c in fired}.values()}
        passed = sum(own_bytes[key] * count for key, count in counts.items())
        passed += load.moved_bytes + loss.moved_bytes
        between = rounded_reuse(passed + updated // rounds)

        made: dict[int, OpCall] = {}

        def cold(call: OpCall) -> OpCall:
            """Return the call as cold; equal layers go on sharing theirs."""
            if id(call) not in made:
                made[id(call)] = replace(call, reuse_bytes=between)
            return made[id(call)]

        def own(call: OpCall) -> OpCall:  # nothing else runs between two firings
            return replace(call, reuse_bytes=rounded_reuse(call.moved_bytes))

        if inputs:
            read, decode = own(inputs.read), own(inputs.decode)
            inputs = InputCalls(read=read, decode=decode, copy=cold(load))
        return cls(
            load=cold(load),
            inputs=inputs,
            layers=tuple(
                LayerCalls(
                    forward=cold(c.forward),
                    weight_grad=cold(c.weight_grad) if c.weight_grad else None,
                    input_grad=cold(c.input_grad) if c.input_grad else None,
                    sums=tuple(map(cold, c.sums)),
                )
                for c in layers
            ),
            loss=cold(loss),
            training=training,
            step_reuse_bytes=rounded_reuse(rounds * passed + updated),
        )

    def add(self, elements: int) -> OpCall:
        """Return the addition of ``elements`` gradients."""
        return _addition(elements, self.training.dtype, self.step_reuse_bytes)

    def judge(self, elements: int) -> OpCall:
        """Return the check of all gradients of a scaled loss."""
        call = judge(elements, self.training.dtype)
        return replace(call, reuse_bytes=self.step_reuse_bytes)

    def update(self, elements: int) -> OpCall:
        """Return the optimizer over ``elements`` parameters."""
        call = update(self.training, elements)
        return replace(call, reuse_bytes=self.step_reuse_bytes)


@lru_cache(maxsize=4096)
def _addition(elements: int, dtype: str, reuse_bytes: int) -> OpCall:
    """Return the addition of so many elements; equal ones are one, and have one price."""
    return replace(steps.add(elements, dtype), reuse_bytes=reuse_bytes)

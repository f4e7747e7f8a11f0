"""Op calls of the input pipeline: read, decode, copy."""

from dataclasses import dataclass, replace

from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor
from planner.plan import Plan, Training
from planner.steps import load


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCalls:
    """The op calls that bring one microbatch from the file to a worker."""

    read: OpCall
    decode: OpCall
    copy: OpCall

    @property
    def all(self) -> tuple[OpCall, ...]:
        """In the order of the stages."""
        return (self.read, self.decode, self.copy)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What lies between the processes: ``stored``, then what is decoded from it."""
        return (*self.read.writes, *self.decode.writes)


def input_calls(model: ModelGraph, training: Training, plan: Plan) -> InputCalls:
    """Return the calls of one microbatch of ``plan``."""
    return stage_calls(load(model, plan.microbatch, training.dtype), training)


def stage_calls(loading: OpCall, training: Training) -> InputCalls:
    """Cut the call that loads a microbatch into its stages.

    ``stored`` holds the records as they lie in the file (n, stored bytes); ``raw`` holds them as
    the model decodes them; what a decode worker writes is what a step's own load would.
    """
    source = training.source
    *decoded, raw = loading.writes
    samples, record_bytes = raw.shape
    stored = replace(raw, name="stored", shape=(samples, source.stored_bytes or record_bytes))
    cold = (("cold", 1), ("disk", source.disk)) if source.cold else ()
    packed = source.encoding != "raw"
    content = (("content", source.content),) if source.content else ()
    return InputCalls(
        read=replace(
            loading, kernel="input.read", op_class="read", writes=(stored,), attrs=cold, settings=()
        ),
        decode=replace(
            loading,
            kernel="input.inflate" if packed else "input.decode",
            op_class="inflate" if packed else "decode",
            reads=(stored,),
            writes=tuple(decoded),
            work=(raw,) if packed else (),
            attrs=(*loading.attrs, *content),
        ),
        copy=replace(
            loading,
            kernel="input.copy",
            op_class="input_copy",
            reads=tuple(replace(tensor, name=f"decoded_{tensor.name}") for tensor in decoded),
            writes=tuple(decoded),
            attrs=(),
            settings=(),
        ),
    )

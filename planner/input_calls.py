"""Op calls and registers of the input pipeline: read, decode, copy."""

from dataclasses import dataclass, replace

from planner.model import ModelGraph
from planner.opcall import OpCall, Tensor
from planner.plan import Plan, Training
from planner.program import View
from planner.registers import Register
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

    def views(self, worker: int, slot: int) -> tuple[View, ...]:
        """Return where decode worker ``worker`` finds and leaves them."""
        return tuple(
            View(
                register=ring_name(worker, tensor),
                slot=slot,
                offset_bytes=0,
                shape=tensor.shape,
                dtype=tensor.dtype,
            )
            for tensor in self.tensors
        )


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


def ring_name(worker: int, tensor: Tensor) -> str:
    """Return the name of the register in which decode worker ``worker`` finds or leaves a tensor.

    >>> ring_name(1, Tensor(name="stored", shape=(2, 65), dtype="uint8"))
    'input.1.stored'
    """
    return f"input.{worker}.{tensor.name}"


def ring_registers(calls: InputCalls, plan: Plan) -> tuple[Register, ...]:
    """Return the registers between reader, decode workers and one rank."""
    return tuple(
        Register(
            name=ring_name(worker, tensor),
            category="input",
            slots=plan.prefetch,
            slot_bytes=tensor.size_bytes,
        )
        for worker in range(plan.decode_workers)
        for tensor in calls.tensors
    )

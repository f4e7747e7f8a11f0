"""Registers between the processes of an input pipeline, and the arrays in them."""

from planner.input_calls import InputCalls
from planner.opcall import Tensor
from planner.plan import Plan
from planner.program import View
from planner.registers import Register


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


def ring_views(calls: InputCalls, worker: int, slot: int) -> tuple[View, ...]:
    """Return where decode worker ``worker`` finds ``stored`` and leaves what it decodes."""
    return tuple(
        View(
            register=ring_name(worker, tensor),
            slot=slot,
            offset_bytes=0,
            shape=tensor.shape,
            dtype=tensor.dtype,
        )
        for tensor in calls.tensors
    )

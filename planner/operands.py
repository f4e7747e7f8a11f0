"""Where the tensors of the passes lie: the views of every firing, in the arena of any worker."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from planner.calls import StepCalls
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES, OpCall, Tensor
from planner.passes import LOADED, Firing, is_parameter, partial
from planner.precision import SCALING
from planner.program import ComputeTask, View

FLAT = ("parameters", "gradients")
"""Registers of the passes with one value a parameter, in the order of ``parameter_offsets``."""

AHEAD = ("x", "labels", "raw")
"""Registers that input of a later step may fill."""

LOAD = -1
"""Instead of a position in the passes: the load before them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """The arrays of a firing."""

    at: "_At"
    firing: Firing
    call: OpCall
    reads: tuple[str, ...]
    """Registers that it reads."""
    takes: tuple[str, ...]
    """Registers that it takes a slot of. One that is read and written is written in place."""

    @cached_property
    def views(self) -> tuple[View, ...]:
        """Where they lie."""
        return tuple(self.at.views(self.firing, self.call))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """The arrays of one worker's passes."""

    model: ModelGraph
    calls: StepCalls
    samples: int
    """Of a microbatch."""
    offsets: Mapping[int, int]
    """By layer: its first parameter."""
    slots: Mapping[str, int]
    """By register."""
    frames: int
    """Microbatches that may be under way."""

    @property
    def dtype(self) -> str:
        """Dtype of the training."""
        return self.calls.training.dtype

    def call(self, position: int) -> OpCall:
        """Return the call of a firing, or of the load."""
        if position == LOAD:
            return self.calls.load
        firing = self.model.passes[position]
        return firing.call(self.calls, self.model.layers[firing.layer].parameter_count)

    def phase(self, position: int) -> str:
        """Return the phase of a firing, or of the load."""
        return "load" if position == LOAD else self.model.passes[position].phase

    def loaded(self, number: int, turn: int) -> tuple[View, ...]:
        """Return what loading writes; see ``of``."""
        writes = self.calls.load.writes
        return tuple(_At(self, number, turn).view(-1, t.name, t) for t in writes)

    def of(self, position: int, number: int, turn: int) -> Operands:
        """Return the arrays of a firing of microbatch ``number`` of its step, ``turn`` of them all.

        They are kept with the model, for other plans have them too.
        """
        firing, at = self.model.passes[position], _At(self, number, turn)
        if firing.kind == "loss":  # what it tells has a slot for every microbatch
            return at.operands(firing, self.call(position))
        slots = number % self.frames, *map(at.slot, LOADED), number > 0
        key = "operands", position, self.dtype, self.samples, slots
        return self.model.once(key, lambda: at.operands(firing, self.call(position)))

    def task(self, rank: int, position: int, number: int) -> ComputeTask:
        """Return the load or a firing of a step that loads by itself, the first of its run."""
        is_load = position == LOAD
        return ComputeTask(
            name="load" if is_load else self.model.passes[position].name,
            rank=rank,
            phase=self.phase(position),
            call=self.call(position),
            views=self.loaded(number, number)
            if is_load
            else self.of(position, number, number).views,
            microbatch=number,
        )


@dataclass(frozen=True, slots=True)
class _At:
    """The arrays of one microbatch."""

    arrays: Arrays
    number: int
    turn: int

    def operands(self, firing: Firing, call: OpCall) -> Operands:
        """Return the arrays of a firing, views when somebody asks."""
        read, written = dict[str, None](), dict[str, None]()
        for tensor, register in self.registers(firing, call):
            if register in (*FLAT, SCALING):  # whole from step to step, no slot to take
                continue
            if tensor in call.reads or tensor in call.updates:
                read[register] = None
            if tensor not in call.reads:
                written[register] = None
        takes = tuple(name for name in written if name not in read)
        return Operands(at=self, firing=firing, call=call, reads=tuple(read), takes=takes)

    def registers(self, firing: Firing, call: OpCall) -> Iterator[tuple[Tensor, str]]:
        """Yield the tensors of a call, each with the register where it lies."""
        for tensor in call.tensors:
            if is_parameter(tensor):
                yield tensor, self.flat(self.owner(firing, tensor), tensor)
            elif tensor in call.work:
                yield tensor, firing.workspace
            else:
                yield tensor, firing.places[tensor.name]

    def views(self, firing: Firing, call: OpCall) -> Iterator[View]:
        """Yield where the tensors of a call lie."""
        workspace_at = 0
        for tensor, register in self.registers(firing, call):
            if is_parameter(tensor):
                yield self.parameter(self.owner(firing, tensor), tensor.name, register)
            elif tensor in call.work:
                yield self.view(firing.layer, register, tensor, workspace_at)
                workspace_at += tensor.size_bytes
            else:
                yield self.view(firing.layer, register, tensor)

    def owner(self, firing: Firing, tensor: Tensor) -> int:
        """Return the layer that owns a parameter, or what its gradient is of."""
        return self.arrays.model.owner(firing.layer, tensor.name.removeprefix("d"))

    def flat(self, owner: int, tensor: Tensor) -> str:
        """Return where a parameter of ``owner``, or its gradient by this microbatch, lies."""
        if not tensor.name.startswith("d"):
            return "parameters"
        return partial(self.arrays.model, owner) if self.number else "gradients"

    def parameter(self, layer: int, name: str, register: str) -> View:
        """Return ``w`` or ``b`` of a layer, or its gradient."""
        at = self.arrays.offsets[layer] if register in FLAT else 0
        for parameter, shape in self.arrays.model.layers[layer].parameters.items():
            if parameter == name.removeprefix("d"):
                found = flat_view(register, at, 0, self.arrays.dtype)
                return replace(found, slot=self.slot(register), shape=shape)
            at += prod(shape)
        raise AssertionError(name)

    def slot(self, register: str) -> int:
        """Return the slot of this microbatch: input may be of a later step, nothing else."""
        turn = self.turn if register in AHEAD else self.number
        return turn % max(1, self.arrays.slots[register])

    def view(self, layer: int, register: str, tensor: Tensor, offset_bytes: int = 0) -> View:
        if register == "gradients":
            first = self.arrays.offsets[layer]
            return flat_view(register, first, tensor.elements, self.arrays.dtype)
        return View(
            register=register,
            slot=self.slot(register),
            offset_bytes=offset_bytes,
            shape=tensor.shape,
            dtype=tensor.dtype,
        )


def flat_view(register: str, first: int, elements: int, dtype: str) -> View:
    """Return a slice of a flat array: parameters, gradients or what the optimizer keeps."""
    item = DTYPE_BYTES[dtype]
    return View(
        register=register, slot=0, offset_bytes=first * item, shape=(elements,), dtype=dtype
    )

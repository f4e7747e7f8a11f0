"""What the prices of a whole space have in common: cuts, op calls and their times, memory."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from hwprofiles.costs import CostBook
from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.machine import Machine
from planner.memory import PassMemory, frame, held_activations, pass_memory
from planner.model import ModelGraph
from planner.opcall import DTYPE_BYTES
from planner.piece_prices import pass_times
from planner.plan import Bucket, Plan, Training, buckets
from planner.registers import own_registers
from planner.rounds import PassTimes

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cut:
    """The buckets of one size."""

    buckets: tuple[Bucket, ...]
    places: Ints
    """(B,) where in the passes their gradients are whole."""

    @classmethod
    def of(cls, found: tuple[Bucket, ...]) -> "Cut":
        """Note what is needed as an array."""
        return cls(buckets=found, places=np.array([bucket.place for bucket in found]))

    @property
    def elements(self) -> list[int]:
        """Number of gradients of each bucket."""
        return [bucket.elements for bucket in self.buckets]


@dataclass(kw_only=True)
class Shared:
    """What is worked out once for a whole space."""

    model: ModelGraph
    training: Training
    machine: Machine
    cuts: dict[int, Cut] = field(default_factory=dict)
    calls: dict[Key, StepCalls] = field(default_factory=dict)
    passes: dict[Key, PassTimes] = field(default_factory=dict)
    memory: dict[Key, PassMemory] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    """By microbatch: the most of its activations that is alive at once."""

    def on(self, machine: Machine) -> "Shared":
        """Return the same on hardware that differs in its figures alone: no memory, no op does."""
        return replace(self, machine=machine, passes={})

    def cut(self, bucket_bytes: int) -> Cut:
        """Return the buckets of a size."""
        if bucket_bytes not in self.cuts:
            elements = max(1, bucket_bytes // DTYPE_BYTES[self.training.dtype])
            self.cuts[bucket_bytes] = Cut.of(buckets(self.model, elements))
        return self.cuts[bucket_bytes]

    @cached_property
    def measured(self) -> bool:
        """Whether any op is: then how cold it is counts, and so do the rounds of a step."""
        books = (book for some in self.machine.cost_books.values() for book in some.values())
        return any(book.ops for book in books)

    def rounds_told(self, plan: Plan) -> int:
        """Rounds of a plan as far as its ops tell them: curves do not know how cold an op is."""
        rounds = plan.microbatches(self.training.batch)
        return rounds if self.measured else min(rounds, 2)

    def calls_of(self, plan: Plan) -> StepCalls:
        """Return the op calls of a plan, or of one whose calls take as long."""
        key = (plan.microbatch, self.rounds_told(plan))
        if key not in self.calls:
            self.calls[key] = StepCalls.of(self.model, self.training, plan)
        return self.calls[key]

    def pass_times(self, plan: Plan, book: CostBook) -> PassTimes:
        """Return the op times of a plan on the device of ``book``."""
        key = (id(book), plan.microbatch, self.rounds_told(plan) if book.ops else 0)
        if key not in self.passes:
            self.passes[key] = pass_times(self.model, self.calls_of(plan), book)
        return self.passes[key]

    def memory_of(self, plan: Plan) -> PassMemory:
        """Return the memory of the passes; with two frames it is that of one."""
        rounds = plan.microbatches(self.training.batch)
        key = (plan.microbatch, rounds, plan.input_slots, plan.activation_slots)
        if key not in self.memory:
            one = replace(plan, activation_slots=1)
            packed = frame(self.model, self.training, one, self.calls_of(plan))
            self.held.setdefault(plan.microbatch, held_activations(packed))
            self.memory[key] = pass_memory(self.model, self.training, plan, packed)
        return self.memory[key]

    def least_bytes(self, plan: Plan) -> int:
        """Return what a plan takes at least: it has those of a smaller one as often as they fit."""
        held = (plan.microbatch // samples * held for samples, held in self.held.items())
        own = own_registers(self.model, self.training, plan)
        return sum(register.arena_bytes for register in own) + max(held, default=0)

"""What the executor must know of the tasks of an exchange, made when somebody asks.

Index letters: T moves of the script.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwprofiles.units import Ints
from planner.calls import StepCalls
from planner.opcall import DTYPE_BYTES, OpCall
from planner.plan import Bucket
from planner.program import ComputeTask, Deed, Program, RankedTasks, Task, TransferTask, View
from planner.registers import landing_name
from planner.script import Script
from planner.switching import SWITCH
from planner.tasklist import TaskList


@dataclass(frozen=True, eq=False, kw_only=True)
class ExchangeTasks(RankedTasks):
    """The tasks of one exchange, made when somebody looks at them."""

    name: str
    """Of the algorithm."""
    number: int
    """Of the bucket."""
    bucket: Bucket
    group: tuple[int, ...]
    script: Script
    dtype: str
    landing_slots: int
    step_calls: StepCalls

    @cached_property
    def edges(self) -> Ints:
        """Where the blocks begin in the bucket, and where the last one ends."""
        return self.script.edges(self.bucket.elements)

    @cached_property
    def slots(self) -> Ints:
        """(T,) slot of its landing register in which a transfer lands, 0 where it does not."""
        return self.script.turns % self.landing_slots

    @cached_property
    def workers(self) -> Ints:
        """Worker of each rank, and of the switch."""
        return np.array([*self.group, SWITCH])

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which worker ``rank`` takes part, ascending."""
        if rank not in self.group:
            return []
        src, dst = self.workers[self.script.src], self.workers[self.script.dst]
        ours = (src == rank) | (dst == rank) | (src == SWITCH) | (dst == SWITCH)
        found: list[int] = np.flatnonzero(ours).tolist()
        return found

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield ranks, op calls and the places of their additions."""
        adds = self.script.adds
        width = (self.edges[self.script.end] - self.edges[self.script.first])[adds]
        for (rank, elements), some in _places(self.script.src[adds], width):
            yield self.group[rank], self.step_calls.add(elements), adds[some]

    def sends(self) -> Iterator[tuple[int, int, Ints]]:
        """Yield sources, destinations and the places of their transfers."""
        sends, workers = self.script.sends, self.workers.tolist()
        for (src, dst), some in _places(self.script.src[sends], self.script.dst[sends]):
            yield workers[src], workers[dst], sends[some]

    def __len__(self) -> int:
        return len(self.script.src)

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        arrived = int(self.script.arrived[at])
        first, end = (int(self.edges[side[at]]) for side in (self.script.first, self.script.end))
        own = self._view("gradients", 0, self.bucket.first + first, end - first)
        if arrived < 0:
            return self._transfer(at, own, f"{self.name}.{self.number}[{first}:{end}]")
        return ComputeTask(
            name=f"add.{self.number}[{first}:{end}]",
            rank=self.group[self.script.src[at]],
            phase="exchange",
            call=self.step_calls.add(end - first),
            views=(self._landing(arrived, end - first), own),
        )

    def deed(self, at: int) -> Deed:
        """Return what task ``at`` does."""
        script = self.script
        if script.arrived[at] < 0:
            ends = int(self.workers[script.src[at]]), int(self.workers[script.dst[at]])
            return Deed("exchange", None, ends)
        elements = int(self.edges[script.end[at]] - self.edges[script.first[at]])
        return Deed("exchange", self.step_calls.add(elements), (self.group[script.src[at]],))

    def _transfer(self, at: int, own: View, name: str) -> TransferTask:
        script, elements = self.script, own.shape[0]
        src, dst = (int(self.workers[side[at]]) for side in (script.src, script.dst))
        return TransferTask(
            name=name,
            src=src,
            dst=dst,
            source=own,
            target=self._landing(at, elements) if script.lands[at] else own,
            members=self.group if SWITCH in (src, dst) else (),
        )

    def _landing(self, at: int, elements: int) -> View:
        register = landing_name(self.number, int(self.script.channel[at]))
        return self._view(register, int(self.slots[at]), 0, elements)

    def _view(self, register: str, slot: int, first: int, elements: int) -> View:
        return View(
            register=register,
            slot=slot,
            offset_bytes=first * DTYPE_BYTES[self.dtype],
            shape=(elements,),
            dtype=self.dtype,
        )


def _places(*keys: Ints) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """Yield the tuples of keys that there are, and where each of them stands."""
    order = np.lexsort(keys[::-1])
    sorted_keys = np.stack(keys)[:, order]
    begins = np.flatnonzero((np.diff(sorted_keys, prepend=-1) != 0).any(axis=0))
    distinct = sorted_keys[:, begins].T.tolist()
    for key, places in zip(distinct, np.split(order, begins[1:]), strict=bool(len(order))):
        yield tuple(key), places


def first_sends(program: Program) -> Iterator[tuple[str, int, Ints]]:
    """Yield, of every exchange, algorithm, elements, and the transfers that carry its call."""
    parts = program.tasks
    assert isinstance(parts, TaskList)
    for first, part in zip(parts.firsts, parts.parts, strict=True):
        if isinstance(part, ExchangeTasks):
            yield part.name, part.bucket.elements, first + part.script.first_sends

"""Passes as arrays: those of one worker are lowered op by op once, and laid out for every plan.

What the ops of the passes wait for, read and write follows from the model and from how many
microbatches may be under way, not from sizes, hardware or exchange. So it is kept with the model:
the first three microbatches of one worker, lowered op by op. The first accumulates nothing, the
second waits for what the first lacks; the third waits for the one or two before it as all later
ones do. A plan repeats the third for all later ones, and all of them for every worker, with
durations, lanes and registers of its own. That is what lowering would give, number by number,
where nothing feeds the passes from outside and no step follows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from hwprofiles.units import Ints
from planner.lowering import Lowering, Passes
from planner.microbatch import Microbatch
from planner.opcall import OpCall
from planner.operands import LOAD, Arrays
from planner.program import Deed, RankedTasks, Task
from sim.blocks import Block, Rows, join_blocks, narrow
from sim.taskgraph import NO_ROUTE

LOWERED = 3
"""Microbatches that are lowered; the last of them stands for all later ones."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PassBlock:
    """The first microbatches of any worker. Lanes are places in ``LANES``."""

    block: Block
    """Counted from 0 on: tasks, items, actors, and registers in the order of a worker."""
    first: int
    """Tasks of the first microbatch."""
    last: int
    """First task of the last one."""
    actors: int
    positions: tuple[int, ...]
    """By task: its position in the passes, or ``LOAD``."""
    passes: Passes

    @property
    def size(self) -> int:
        """Tasks of a later microbatch."""
        return self.block.count - self.last

    def position(self, at: int) -> int:
        """Return that of task ``at`` of any number of microbatches."""
        beyond = at - self.block.count
        return self.positions[at if beyond < 0 else self.last + beyond % self.size]

    def number(self, at: int) -> int:
        """Return the microbatch of task ``at``."""
        return 0 if at < self.first else 1 + (at - self.first) // self.size


def append_passes(work: Lowering) -> list[Passes]:
    """Append the passes of all workers; those on alike devices that follow one another at once."""
    found: list[Passes] = []
    devices = work.cluster.devices
    for _, alike in groupby(
        range(work.plan.workers), lambda rank: devices[work.plan.placement[rank]].name
    ):
        found += _append(work, list(alike))
    return found


def _append(work: Lowering, ranks: Sequence[int]) -> list[Passes]:
    kept = _kept(work, ranks[0])
    again = max(0, work.plan.microbatches(work.training.batch) - LOWERED)
    block = replace(
        kept.block, columns=kept.block.columns | {"duration_ps": _durations(work, ranks[0], kept)}
    )
    if again:
        block = join_blocks([block, block.again(kept.last, again)])
    actors = work.actor_count + np.arange(len(ranks) * kept.actors).reshape(len(ranks), -1)
    work.actor_count += kept.actors * len(ranks)
    first = [work.register_ids[rank].first for rank in ranks]
    shifts = work.graph.repeat(
        block,
        lanes=np.array([work.lanes_of(rank) for rank in ranks]),
        registers=np.arange(len(work.register_ids[ranks[0]].places)) + np.array(first)[:, None],
        actors=actors,
    )
    for rank in ranks:
        work.tasks.add(PassTasks(work.arrays, rank, kept, block.count))
    return [kept.passes.shifted(shift + again * kept.size) for shift in shifts]


def _durations(work: Lowering, rank: int, kept: PassBlock) -> Ints:
    """Return the duration of each task of a block, picoseconds; by position kept with the model."""
    book = work.books[work.cluster.devices[work.plan.placement[rank]].name]

    def priced() -> tuple[object, object, Ints]:
        some = sorted(set(kept.positions))
        found = np.zeros(some[-1] + 2, dtype=np.int64)  # that of the load is the last one
        found[some] = [work.price_ps(rank, work.arrays.call(position)) for position in some]
        return work.calls, book, found  # kept, no other object has their ids

    key = ("pass times", id(work.calls), id(book))
    return work.model.once(key, priced)[2][list(kept.positions)]


def _kept(work: Lowering, rank: int) -> PassBlock:
    """Return the passes of a worker, lowered for an earlier plan or now."""
    layout, count = work.layouts[rank], work.plan.microbatches(work.training.batch)
    names = tuple(r.name for r in layout.registers if r.category != "landing")
    lanes = work.lanes_of(rank)
    key = (
        "pass block",
        min(count, LOWERED),
        names,
        work.training.dtype,
        work.frames,
        layout.follows if work.frames > 1 else (),
        tuple(map(lanes.index, lanes)),
    )
    return work.model.once(key, lambda: _lowered(work, rank))


def _lowered(work: Lowering, rank: int) -> PassBlock:
    """Lower the first microbatches of one worker op by op."""
    alone = Lowering(
        model=work.model,
        training=work.training,
        plan=work.plan,
        cluster=work.cluster,
        books=work.books,
        prices=work.prices,
    )
    passes, begins = Passes(), []
    positions: list[int] = []
    adds = [at for at, firing in enumerate(work.model.passes) if firing.kind == "accumulate"]
    for number in range(min(work.plan.microbatches(work.training.batch), LOWERED)):
        begins.append(alone.graph.tasks)
        Microbatch(alone, rank, number, placed=False).append(passes)
        every = range(LOAD, len(work.model.passes))
        positions += [at for at in every if number or at not in adds]
    block = alone.graph.closed_block()
    first, last = [*begins, block.count][1], begins[-1]
    assert block.count == len(positions), "every op of the passes is one task"
    assert min(passes.gradient.values(), default=last) >= last, "all that is learnt is learnt anew"
    lanes, registers = alone.lanes_of(rank), alone.register_ids[rank].first
    lane, out = block.rows["lane"], block.rows["out"]
    own = {
        "lane": Rows(lengths=lane.lengths, ids=narrow(np.array([*map(lanes.index, lane.ids)]))),
        "out": Rows(lengths=out.lengths, ids=out.ids - registers),
    }
    return PassBlock(
        block=replace(
            block,
            columns=block.columns | {"payload_bytes": 0, "route": NO_ROUTE},
            rows=block.rows | own,
        ),
        first=first,
        last=last,
        actors=alone.actor_count,
        positions=tuple(positions),
        passes=passes,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PassTasks(RankedTasks):
    """The passes of one worker, each task made when somebody looks at it."""

    arrays: Arrays
    rank: int
    kept: PassBlock
    tasks: int

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part: all, or none."""
        return list(range(self.tasks)) if rank == self.rank else []

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield the rank, op calls and the places of what it computes, all of them."""
        positions = np.array([self.kept.position(at) for at in range(self.tasks)], dtype=np.int64)
        order = np.argsort(positions, kind="stable")
        found, begins = np.unique(positions[order], return_index=True)
        for position, places in zip(found, np.split(order, begins[1:]), strict=True):
            yield self.rank, self.arrays.call(int(position)), places

    def __len__(self) -> int:
        return self.tasks

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        return self.arrays.task(self.rank, self.kept.position(at), self.kept.number(at))

    def deed(self, at: int) -> Deed:
        """Return what task ``at`` does."""
        position = self.kept.position(at)
        return Deed(self.arrays.phase(position), self.arrays.call(position), (self.rank,))

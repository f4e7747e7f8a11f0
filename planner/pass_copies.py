"""Passes of many steps: lowered op by op for one worker of those alike, and copied for the others.

A step after the first waits for the one before it, and an input pipeline reaches over the ends of
steps, so what the tasks of one worker wait for differs from step to step; but workers alike wait
alike. Of each step one of them is lowered; what it waits for in its own passes, of this step or an
earlier one, lies as far from it as what another waits for lies from that one. What ends the step
before is the same for all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from hwprofiles.units import Ints
from planner.inputs import Feed
from planner.lowering import Lowering, Passes
from planner.microbatch import Microbatch
from planner.opcall import OpCall
from planner.program import Deed, RankedTasks, Task, TransferTask, calls_among, deed_of
from sim.blocks import Block, Ids, narrow


@dataclass(slots=True, kw_only=True)
class Alike:
    """Workers that follow one another, of one kind of device, layout and pipeline."""

    work: Lowering
    feeds: Mapping[int, Feed]
    ranks: Sequence[int]
    lanes: Ints = field(init=False)
    """By worker, and by what for."""
    registers: Ints = field(init=False)
    """By worker, and by name."""
    actors: Ints = field(init=False)
    """By worker, and by name, in the order in which they first fire."""

    def __post_init__(self) -> None:
        self.lanes = np.array([self._lanes(rank) for rank in self.ranks])
        ids = [self.work.register_ids[rank] for rank in self.ranks]
        self.registers = np.array(
            [[*range(i.first, i.first + len(i.places)), *i.beside.values()] for i in ids]
        )
        self.actors = np.zeros((len(self.ranks), 0), dtype=np.int64)

    def _lanes(self, rank: int) -> list[int]:
        lanes, feed = self.work.lanes_of(rank), self.feeds.get(rank)
        return lanes + ([feed.disk, *(i for own in feed.decoding for i in own)] if feed else [])

    def append(self) -> list[Passes]:
        """Append the passes of all of them for one step."""
        work, one, passes = self.work, self.ranks[0], Passes()
        first, known = work.graph.tasks, work.actor_count
        for number in range(work.plan.microbatches(work.training.batch)):
            Microbatch(work, one, number, self.feeds.get(one)).append(passes)
        self._add_actors(range(known, work.actor_count))
        block = work.graph.closed_block()
        assert block.first == first, "what one worker does is a block of its own"
        if len(self.ranks) > 1:
            work.graph.repeat(
                self._counted_from_0(block),
                lanes=_by_place(self.lanes)[1:],
                registers=_by_place(self.registers)[1:],
                actors=self.actors[1:],
                deps=self._deps(block),
            )
            tasks = work.tasks.last(block.count)
            for rank in self.ranks[1:]:
                work.tasks.add(CopiedTasks(tasks, rank))
        return [passes.shifted(block.count * i) for i in range(len(self.ranks))]

    def _add_actors(self, added: range) -> None:
        """Give the others actors like those that fired for the first time."""
        which = np.arange(len(self.ranks))[:, None]
        self.actors = np.hstack([self.actors, np.array(added) + len(added) * which])
        self.work.actor_count += len(added) * (len(self.ranks) - 1)

    def _counted_from_0(self, block: Block) -> Block:
        """Return a block with lanes, registers, actors and items by their places."""
        lane, out, items = block.rows["lane"], block.rows["out"], block.rows["in"]
        rows = {
            "lane": replace(lane, ids=_places(self.lanes[0], lane.ids)),
            "out": replace(out, ids=_places(self.registers[0], out.ids)),
            "in": replace(items, ids=items.ids - block.first_item),
        }
        actors = _places(self.actors[0], np.asarray(block.columns["actor"]))
        return replace(block, columns=block.columns | {"actor": actors}, rows=block.rows | rows)

    def _deps(self, block: Block) -> Ids:
        """Return what the tasks of each of the others wait for, one row a worker."""
        deps = block.rows["dep"]
        later = block.count * np.arange(1, len(self.ranks))[:, None]
        before = np.array(self.work.before)
        if not before.size:
            return narrow(deps.ids + later)
        task = np.repeat(np.arange(block.count), np.broadcast_to(deps.lengths, block.count))
        ends = np.isin(deps.ids, before)
        entries = np.bincount(task[ends], minlength=block.count) == before.size
        ids = deps.ids + np.where(ends & entries[task], 0, later)
        stride = block.end + block.count * len(self.ranks)
        return narrow(np.sort(ids + task * stride, axis=1) - task * stride)


def alike_workers(work: Lowering, feeds: Mapping[int, Feed]) -> list[Alike]:
    """Return the workers in groups that are lowered at once."""

    def kind(rank: int) -> tuple[str, int, list[int]]:
        device = work.cluster.devices[work.plan.placement[rank]]
        held = [len(lanes) for lanes in feeds[rank].decoding] if feeds else []
        return device.name, id(work.layouts[rank]), held

    groups = groupby(range(work.plan.workers), kind)
    return [Alike(work=work, feeds=feeds, ranks=list(ranks)) for _, ranks in groups]


def _by_place(ids: Ints) -> Ints:
    """Return the columns in ascending order of the first row, those that repeat once."""
    return ids[:, np.unique(ids[0], return_index=True)[1]]


def _places(own: Ints, ids: Ids) -> Ids:
    """Return where each id stands among ``own``, in ascending order, each of them once."""
    return narrow(np.searchsorted(np.unique(own), ids))


@dataclass(frozen=True, slots=True, eq=False)
class CopiedTasks(RankedTasks):
    """What a worker does like another, each task made when somebody looks at it."""

    like: Sequence[Task]
    """Those of the other; none is a transfer."""
    rank: int

    def of_rank(self, rank: int) -> list[int]:
        """Return the places of those in which ``rank`` takes part; in the pipeline, none does."""
        return [at for at, task in enumerate(self.like) if task.ranks] if rank == self.rank else []

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield the rank, op calls and the places of what it computes, all of them."""
        yield from ((self.rank, call, places) for _, call, places in calls_among(self.like))

    def __len__(self) -> int:
        return len(self.like)

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        task = self.like[at]
        assert not isinstance(task, TransferTask), "passes send nothing"
        return replace(task, rank=self.rank)

    def deed(self, at: int) -> Deed:
        """Return what task ``at`` does."""
        return replace(deed_of(self.like[at]), ends=(self.rank,))

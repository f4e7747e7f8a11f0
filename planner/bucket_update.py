"""The updates that end a step: those of one bucket are written at once, as arrays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwprofiles.units import Ints
from planner.awaited import TaskSets, united
from planner.collectives.base import Tasks
from planner.lowering import PRIORITY, Lowering, Passes, of_layers
from planner.opcall import OpCall
from planner.operands import flat_view
from planner.optimizer import update_arrays
from planner.plan import Bucket, Training
from planner.precision import SCALING, scales_loss
from planner.program import ComputeTask, RankedTasks, Task
from sim.blocks import Part, Rows, narrow
from sim.taskgraph import NO_ROUTE


def append_updates(
    work: Lowering,
    exchanged: Iterable[tuple[Sequence[int], TaskSets]],
    passes: Sequence[Passes],
) -> None:
    """Append the updates of all buckets; ``exchanged`` appends exchanges as it is asked for them.

    It yields buckets and the last tasks of each rank, rank by rank of each bucket. Each update
    follows its exchange; those of a scaled loss follow the judge, who looks at all gradients.
    """
    ranks = tuple(range(len(passes)))
    if not scales_loss(work.training.dtype):
        for numbers, done in exchanged:
            _append(work, Updates.of(work, numbers, ranks), done, passes)
        return
    found = [done for _, done in exchanged]
    into = [np.arange(len(done)) % len(ranks) for done in found]
    last = list(united(len(ranks), list(zip(into, found, strict=True))))
    numbers = range(len(work.buckets))
    for rank in ranks:
        judged = np.full(len(numbers), _judge(work, rank, last[rank]))
        updates = Updates.of(work, numbers, (rank,))
        _append(work, updates, TaskSets.single(judged), passes[rank : rank + 1])


def _append(work: Lowering, updates: "Updates", done: TaskSets, passes: Sequence[Passes]) -> None:
    for made in updates.made:
        work.tasks.add(made)
    work.graph.weave([updates.part(done, passes)])


def _judge(work: Lowering, rank: int, done: Tasks) -> int:
    """Append the check of all gradients."""
    count = work.model.parameter_count
    call = work.calls.judge(count)
    scaling = flat_view(SCALING, 0, call.updates[0].elements, call.updates[0].dtype)
    views = (work.flat("gradients", 0, count), scaling)
    info = ComputeTask(name="judge", rank=rank, phase="update", call=call, views=views)
    return work.compute(info, after=done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """The updates of some buckets by some ranks."""

    work: Lowering
    made: tuple["UpdateTasks", ...]
    """By bucket."""
    ranks: tuple[int, ...]
    actors: Ints
    """By bucket: its first actor."""

    @classmethod
    def of(
        cls,
        work: Lowering,
        numbers: Sequence[int],
        ranks: tuple[int, ...],
        actors: Ints | None = None,
    ) -> "Updates":
        """Return those of buckets, by actors of their own unless they are given."""
        if actors is None:
            first = work.actors_from(("update", *numbers, ranks), len(numbers) * len(ranks))
            actors = first + len(ranks) * np.arange(len(numbers))
        made = [
            UpdateTasks(
                name=f"update.{number}",
                bucket=work.buckets[number],
                call=work.calls.update(work.buckets[number].elements),
                ranks=ranks,
                training=work.training,
            )
            for number in numbers
        ]
        return cls(work=work, made=tuple(made), ranks=ranks, actors=actors)

    def part(self, done: TaskSets, passes: Sequence[Passes]) -> Part:
        """Return all of them, to be put into the graph.

        Each is the optimizer over a bucket, once nobody reads its parameters any more. ``done`` are
        the last tasks before, rank by rank of each bucket; ``passes`` those of the ranks.
        """
        work, times, count = self.work, len(self.made), len(self.ranks)
        readers = of_layers(passes, "reader", [made.bucket.layers for made in self.made])
        every = np.arange(times * count)
        waits = united(len(every), [(every, readers), (every, done)])
        if work.before:
            after = zip(self.ranks * times, waits, strict=True)
            waits = TaskSets.of([_with_entry(work, rank, own) for rank, own in after])
        none = Rows(lengths=0, ids=np.zeros(0, dtype=np.int32))
        lanes = np.array([work.lanes[rank, "compute"] for rank in self.ranks])
        one, kind_of = work.kinds(self.ranks)
        some_ps = [[work.price_ps(rank, made.call) for rank in one] for made in self.made]
        return Part(
            times=times,
            count=count,
            columns={
                "duration_ps": np.take(np.array(some_ps), kind_of, axis=1),
                "payload_bytes": 0,
                "route": NO_ROUTE,
                "priority": PRIORITY["update"],
                "actor": self.actors[:, None] + np.arange(count),
            },
            rows={
                "lane": Rows(lengths=1, ids=np.tile(lanes, times)),
                "dep": Rows(lengths=waits.lengths.reshape(times, count), ids=narrow(waits.ids)),
                "out": none,
                "in": none,
            },
        )


def _with_entry(work: Lowering, rank: int, after: Tasks) -> Tasks:
    """Return what a task waits for, and the step before where that is not implied."""
    return tuple(sorted({*after, *work.entry((rank,), after)}))


@dataclass(frozen=True, eq=False, kw_only=True)
class UpdateTasks(RankedTasks):
    """The updates of one bucket, made when somebody looks at them."""

    name: str
    bucket: Bucket
    call: OpCall
    ranks: Sequence[int]
    training: Training

    @cached_property
    def of_first(self) -> ComputeTask:
        """The update by the first of the workers."""
        pairs = zip(update_arrays(self.training), self.call.tensors, strict=True)
        return ComputeTask(
            name=self.name,
            rank=self.ranks[0],
            phase="update",
            call=self.call,
            views=tuple(
                flat_view(
                    name, self.bucket.first * (name != SCALING), tensor.elements, tensor.dtype
                )
                for name, tensor in pairs
            ),
        )

    def of_rank(self, rank: int) -> list[int]:
        """Return the place of that of worker ``rank``, if it is there."""
        return [self.ranks.index(rank)] if rank in self.ranks else []

    def calls(self) -> Iterator[tuple[int, OpCall, Ints]]:
        """Yield every rank with the op call and its place."""
        for place, rank in enumerate(self.ranks):
            yield rank, self.call, np.array([place])

    def __len__(self) -> int:
        return len(self.ranks)

    def made(self, at: int) -> Task:
        """Return task ``at``."""
        return replace(self.of_first, rank=self.ranks[at])

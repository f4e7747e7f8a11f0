"""The updates that end a step: those of one bucket are written at once, as arrays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import numpy as np

from hwprofiles.units import Ints
from planner.collectives.base import Tasks
from planner.lowering import PRIORITY, Lowering, Passes
from planner.opcall import OpCall
from planner.operands import flat_view
from planner.optimizer import update_arrays
from planner.plan import Bucket, Training
from planner.precision import SCALING, scales_loss
from planner.program import ComputeTask, RankedTasks, Task
from sim.blocks import Part, Rows, narrow
from sim.taskgraph import NO_ROUTE


def append_updates(
    work: Lowering, exchanged: Iterable[Sequence[Tasks]], passes: Sequence[Passes]
) -> None:
    """Append the updates of all buckets; ``exchanged`` appends one exchange as it is asked for.

    It yields the last tasks of each rank. Each update follows its exchange; those of a scaled loss
    follow the judge, who looks at all gradients.
    """
    ranks = range(len(passes))
    if not scales_loss(work.training.dtype):
        for number, done in enumerate(exchanged):
            _append(work, number, ranks, done, passes)
        return
    last = [{t for done in of for t in done} for of in zip(*exchanged, strict=True)]
    for rank in ranks:
        judged = _judge(work, rank, tuple(sorted(last[rank])))
        for number in range(len(work.buckets)):
            _append(work, number, (rank,), ((judged,),), passes[rank : rank + 1])


def _append(
    work: Lowering,
    number: int,
    ranks: Sequence[int],
    done: Sequence[Tasks],
    passes: Sequence[Passes],
) -> None:
    updates = Updates(work, ranks)
    updates.append(number, done, passes)
    work.graph.weave([updates.part()])


def _judge(work: Lowering, rank: int, done: Tasks) -> int:
    """Append the check of all gradients."""
    count = work.model.parameter_count
    call = work.calls.judge(count)
    scaling = flat_view(SCALING, 0, call.updates[0].elements, call.updates[0].dtype)
    views = (work.flat("gradients", 0, count), scaling)
    info = ComputeTask(name="judge", rank=rank, phase="update", call=call, views=views)
    return work.compute(info, after=done)


@dataclass(slots=True)
class Updates:
    """The updates of some buckets by some ranks, and what they wait for, one by one."""

    work: Lowering
    ranks: Sequence[int]
    deps: list[Rows] = field(default_factory=list)
    actors: list[list[int]] = field(default_factory=list)
    durations_ps: list[list[int]] = field(default_factory=list)
    """Of the buckets appended so far."""

    def append(self, number: int, done: Sequence[Tasks], passes: Sequence[Passes]) -> None:
        """Append the optimizer over a bucket, once nobody reads its parameters any more.

        ``done`` and ``passes`` are those of the ranks, one by one.
        """
        work, ranks, bucket = self.work, self.ranks, self.work.buckets[number]
        call, name = work.calls.update(bucket.elements), f"update.{number}"
        waits = []
        for rank, last, own in zip(ranks, done, passes, strict=True):
            readers = own.readers_of(bucket.layers)
            after = (*readers, *last)
            if work.before or (readers and last and readers[-1] >= last[0]):
                after = tuple(sorted({*after, *work.entry((rank,), after)}))
            waits.append(after)
        lengths = np.array(list(map(len, waits)), dtype=np.int64)
        ids = np.fromiter(chain.from_iterable(waits), np.int64, int(lengths.sum()))
        self.deps.append(Rows(lengths=lengths, ids=narrow(ids)))
        self.actors.append([work.actor(rank, name) for rank in ranks])
        self.durations_ps.append([work.price_ps(rank, call) for rank in ranks])
        work.tasks.add(
            UpdateTasks(name=name, bucket=bucket, call=call, ranks=ranks, training=work.training)
        )

    def part(self) -> Part:
        """Return all of them, to be put into the graph."""
        times, none = len(self.deps), Rows(lengths=0, ids=np.zeros(0, dtype=np.int32))
        lanes = np.array([self.work.lanes[rank, "compute"] for rank in self.ranks])
        return Part(
            times=times,
            count=len(self.ranks),
            columns={
                "duration_ps": np.array(self.durations_ps, dtype=np.int64),
                "payload_bytes": 0,
                "route": NO_ROUTE,
                "priority": PRIORITY["update"],
                "actor": np.array(self.actors),
            },
            rows={
                "lane": [Rows(lengths=1, ids=lanes)] * times,
                "dep": self.deps,
                "out": [none] * times,
                "in": [none] * times,
            },
        )


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

"""Lower a plan to its program: data-parallel training with bucketed gradient exchange.

One step of every worker: for each microbatch load, forward, loss, backward (input and weight
gradients apart); then, bucket by bucket, exchange and update.

ASSUMES: a step starts with all workers ready and ends when the last one is. Data loading of the
next step is overlapped where the plan has an input pipeline (``planner.inputs``), else it is not.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from planner.algorithms import name_at
from planner.awaited import TaskSets
from planner.bucket_exchange import Exchanges, exchange_buckets
from planner.bucket_update import Updates, append_updates
from planner.inputs import feeds_of
from planner.lowering import Lowering, Passes, of_layers
from planner.model import ModelGraph
from planner.pass_blocks import append_passes
from planner.pass_copies import alike_workers
from planner.plan import Plan, Training
from planner.precision import scales_loss
from planner.program import Program


def lower(
    model: ModelGraph,
    training: Training,
    plan: Plan,
    cluster: Cluster,
    books: Mapping[str, CostBook],
    steps: int = 1,
) -> Program:
    """Return the program of ``steps`` steps at grain ``op``; ``books`` prices ops by device name.

    Steps follow one another as one does to the next of a run: the input pipeline of a plan that has
    one runs ahead, as far as its registers have room.
    """
    work = Lowering(model=model, training=training, plan=plan, cluster=cluster, books=books)
    feeds = feeds_of(work)
    alone = steps == 1 and not feeds
    groups = [] if alone else alike_workers(work, feeds)
    for _ in range(steps):
        work.begin_step()
        passes = append_passes(work) if alone else [p for group in groups for p in group.append()]
        _append_buckets(work, passes)
        work.end_step()
    return work.program()


def _append_buckets(work: Lowering, passes: Sequence[Passes]) -> None:
    """Append exchange and update of every bucket, those by the same script at once.

    Without overlap a bucket waits for all gradients of its worker, not only its own.
    """
    plan, ranks = work.plan, tuple(range(work.plan.workers))

    def ready(numbers: Sequence[int]) -> TaskSets:
        every = tuple(work.offsets)
        layers = [work.buckets[n].layers if plan.overlap else every for n in numbers]
        return of_layers(passes, "gradient", layers)

    if plan.workers == 1:
        numbers = range(len(work.buckets))
        append_updates(work, [(numbers, ready(numbers))], passes)
        return
    if scales_loss(work.training.dtype):
        exchanged = (
            (alike, exchange_buckets(work, plan.algorithm, alike, ranks, ready(alike)))
            for alike in alike_buckets(work)
        )
        append_updates(work, exchanged, passes)
        return
    for alike in alike_buckets(work):
        exchanges = Exchanges.of(work, plan.algorithm, alike, ranks, between=len(ranks))
        updates = Updates.of(work, alike, ranks, exchanges.actors + exchanges.script.actor_count)
        for pair in zip(exchanges.made, updates.made, strict=True):
            for made in pair:
                work.tasks.add(made)
        done, part = exchanges.written(ready(alike))
        work.graph.weave([part, updates.part(done, passes)])


def alike_buckets(work: Lowering) -> list[tuple[int, ...]]:
    """Return the buckets that follow one another and are exchanged by one script."""
    names = [name_at(work.plan.algorithm, bucket.elements) for bucket in work.buckets]
    return [tuple(alike) for _, alike in groupby(range(len(names)), names.__getitem__)]

"""Lower a plan to its program: data-parallel training with bucketed gradient exchange.

One step of every worker: for each microbatch load, forward, loss, backward (input and weight
gradients apart); then, bucket by bucket, exchange and update.

ASSUMES: a step starts with all workers ready and ends when the last one is. Data loading of the
next step is overlapped where the plan has an input pipeline (``planner.inputs``), else it is not.
"""

from collections.abc import Mapping, Sequence

from hwprofiles.cluster import Cluster
from hwprofiles.costs import CostBook
from planner.bucket_exchange import exchange_bucket
from planner.bucket_update import append_updates
from planner.collectives.base import Tasks
from planner.inputs import Feed, feeds_of
from planner.lowering import Lowering, Passes
from planner.microbatch import Microbatch
from planner.model import ModelGraph
from planner.pass_blocks import append_passes
from planner.plan import Bucket, Plan, Training
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
    for _ in range(steps):
        work.begin_step()
        passes = append_passes(work) if alone else passes_one_by_one(work, feeds)
        exchanged = (_exchange(work, *each, passes) for each in enumerate(work.buckets))
        append_updates(work, exchanged, passes)
        work.end_step()
    return work.program()


def passes_one_by_one(work: Lowering, feeds: Mapping[int, Feed]) -> list[Passes]:
    """Append all microbatches op by op, worker by worker."""
    found = []
    for rank in range(work.plan.workers):
        found.append(Passes())
        for number in range(work.plan.microbatches(work.training.batch)):
            Microbatch(work, rank, number, feeds.get(rank)).append(found[-1])
    return found


def _exchange(work: Lowering, number: int, bucket: Bucket, passes: Sequence[Passes]) -> list[Tasks]:
    """Append the all-reduce of one bucket; return each rank's last tasks.

    Without overlap a bucket waits for all gradients of its worker, not only its own.
    """
    layers = bucket.layers if work.plan.overlap else tuple(work.offsets)
    ready = [p.gradients_of(layers) for p in passes]
    if work.plan.workers == 1:
        return ready
    group = tuple(range(work.plan.workers))
    return exchange_bucket(work, work.plan.algorithm, number, group, ready)

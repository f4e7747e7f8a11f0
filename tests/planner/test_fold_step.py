"""A step of which one worker stands for all: as long as the step of all of them, task by task."""

from collections import Counter

import pytest

from hwprofiles.costs import CostBook
from hwprofiles.errors import PlanError
from planner.fold_step import Ports, fold_step
from planner.lower import lower
from planner.model import load_model
from planner.network import flat_network
from planner.plan import Plan, Training, buckets
from sim.engine import simulate

MODEL = "resnet-18"
BUCKET_BYTES = 4 << 20


def plan_of(workers: int, algorithm: str, *, overlap: bool) -> Plan:
    return Plan(
        workers=workers,
        microbatch=2,
        placement=tuple(range(workers)),
        algorithm=algorithm,
        bucket_bytes=BUCKET_BYTES,
        overlap=overlap,
    )


def counted(graph) -> Counter:
    timeline = simulate(graph)
    columns = graph.payload_bytes, timeline.start_ps, timeline.end_ps
    return Counter(zip(*(column.tolist() for column in columns), strict=True))


def cluster_of(workers: int):
    return flat_network("ethernet-100g", "v100-sxm2-16g", workers).cluster(workers)


@pytest.mark.parametrize(
    ("workers", "algorithm", "overlap"),
    [(2, "ring", True), (4, "halving_doubling", False), (4, "hierarchical:2", True)],
)
def test_every_task_of_the_step_is_one_of_each_worker(workers, algorithm, overlap):
    model, training = load_model(MODEL), Training(batch=4 * workers)
    assert all(b.elements % workers == 0 for b in buckets(model, BUCKET_BYTES // 4))
    plan, cluster = plan_of(workers, algorithm, overlap=overlap), cluster_of(workers)
    folded = fold_step(model, training, plan, Ports(cluster, workers), cluster)
    books = {device.name: CostBook(device=device, ops={}) for device in cluster.devices}
    whole = counted(lower(model, training, plan, cluster, books).graph)
    assert whole == {task: workers * count for task, count in counted(folded).items()}


def test_a_step_in_which_one_worker_serves_is_refused():
    cluster = cluster_of(2)
    with pytest.raises(PlanError, match="one is a root or a server"):
        fold_step(
            load_model("lenet-5"),
            Training(batch=8),
            plan_of(4, "star", overlap=True),
            Ports(cluster, 4),
            cluster,
        )

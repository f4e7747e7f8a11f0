"""Both engines agree on the program of the demo, task by task."""

import pytest

from planner.algorithms import algorithm_names
from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from sim import heap_engine, simpy_engine


@pytest.mark.parametrize("algorithm", algorithm_names())
@pytest.mark.parametrize("overlap", [False, True])
def test_lenet_on_two_workers(machine, dp, algorithm, overlap):
    plan = dp(2, 32, algorithm, overlap=overlap)
    cluster, books = machine.cluster(2), machine.books(2)
    graph = lower(load_model("lenet-5"), Training(batch=64), plan, cluster, books).graph
    heap = heap_engine.simulate(graph)
    assert heap.equals(simpy_engine.simulate(graph))
    assert heap.makespan_ps > 0

"""Floors of the array engine, as ``foreplan bench engine`` measures them on two quiet cores."""

import time
from statistics import median

import numpy as np
import pytest

from foreplan.benchmarks import engine_rates, engine_work_us, start_up_s
from foreplan.machines import load_machine
from planner.lower import lower
from planner.model import load_model
from planner.plan import Plan, Training
from sim import array_engine

pytestmark = pytest.mark.benchmark


ASKED = {"repeats": 5, "random_tasks": 1_000_000, "ring_ranks": 4096, "flows": 1_000_000}


@pytest.fixture(scope="module")
def rates():
    return {rate.graph: rate for rate in engine_rates(**ASKED)}


@pytest.mark.parametrize(
    ("graph", "tasks_per_s"),
    [
        ("random, 1000 lanes", 3e6),
        ("500 stages x 100", 6e6),
        ("1024 ports, 1 in flight", 1e6),
        ("ring over 4096 ranks", 33_546_240 / 15),
    ],
)
def test_tasks_a_second(rates, graph, tasks_per_s):
    assert rates[graph].tasks_per_s["array"] >= tasks_per_s


@pytest.mark.parametrize(
    ("graph", "frac"),
    [
        ("random, 1000 lanes", 0.6),
        ("500 stages x 100", 0.6),
        ("1024 ports, 2 in flight", 0.5),
        ("1024 ports, 4 in flight", 0.5),
    ],
)
def test_share_of_the_yardstick(rates, graph, frac):
    assert rates[graph].bare_frac >= frac


@pytest.mark.parametrize(
    "graph", ["random, 1000 lanes", "500 stages x 100", "ring over 4096 ranks"]
)
def test_bytes_a_task(rates, graph):
    assert rates[graph].bytes_per_task <= 64


def test_building_is_no_slower_than_simulating(rates):
    for rate in rates.values():
        if rate.graph != "LeNet-5 step":  # the first of its model: a task at a time
            assert rate.build_s <= rate.tasks / rate.tasks_per_s["array"]


def test_start_up():
    assert start_up_s(5) <= 0.6


def test_progress_weighs_every_graph_by_what_it_takes(rates):
    work_us = engine_work_us(**ASKED)
    assert len(work_us) == len(rates)
    took_s = []
    for rate in rates.values():
        repeats = 1 if rate.graph.startswith("ring") else ASKED["repeats"]
        ran_s = sum(rate.tasks / each for each in rate.tasks_per_s.values())
        took_s.append(rate.build_s + repeats * ran_s)
    told, true = (np.cumsum(each) / sum(each) for each in (work_us, took_s))
    at_half = int(np.searchsorted(true, 0.5))
    assert 0.5 <= (1 - told[at_half]) / (1 - true[at_half]) <= 2


def test_a_step_of_many_workers_is_built_as_fast_as_it_is_simulated():
    machine, model = load_machine("dgx-1-v100:8", "pytorch-containers"), load_model("resnet-50")
    plan = Plan(
        workers=64,
        microbatch=32,
        placement=tuple(range(64)),
        algorithm="ring",
        bucket_bytes=1 << 20,
        overlap=True,
    )
    asked = model, Training(batch=2048), plan, machine.cluster(64), machine.books(64)
    graph = lower(*asked).graph  # what is noted once for all sizes is known then
    times = {lower: [], array_engine.simulate: []}
    for _ in range(5):
        for run, own in zip(times, (asked, (graph,)), strict=True):
            start = time.process_time()
            run(*own)
            times[run].append(time.process_time() - start)
    built_s, simulated_s = map(median, times.values())
    assert built_s <= simulated_s

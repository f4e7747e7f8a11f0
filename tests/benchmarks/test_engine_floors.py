"""Floors of the array engine, as ``foreplan bench engine`` measures them on two quiet cores."""

import numpy as np
import pytest

from foreplan.engine_rates import engine_rates, engine_work_us, start_up_s
from sim.engine import ARRAY_FROM_TASKS

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
    ("graph", "most"),
    [
        ("random, 1000 lanes", 64),
        ("500 stages x 100", 64),
        ("ring over 4096 ranks", 64),
        ("1024 ports, 1 in flight", 64),
        ("1024 ports, 2 in flight", 64),
        ("1024 ports, 4 in flight", 64),
        ("LeNet-5, 8 workers", 107),
        ("BERT-large, 8 workers", 127),
        ("ResNet-50, 64 workers", 117),
        ("DenseNet-201, 128 workers", 122),
    ],
)
def test_bytes_a_task(rates, graph, most):
    assert rates[graph].bytes_per_task <= most


def test_building_is_no_slower_than_simulating(rates):
    for rate in rates.values():
        if rate.tasks >= ARRAY_FROM_TASKS:
            assert rate.built_frac <= 1, rate.graph
        elif "heap" in rate.tasks_per_s:
            assert rate.build_s <= rate.tasks / rate.tasks_per_s["heap"], rate.graph


def test_start_up():
    assert start_up_s(5) <= 0.6


def test_progress_weighs_every_graph_by_what_it_takes(rates):
    work_us = engine_work_us(**ASKED)
    assert len(work_us) == len(rates)
    took_s = []
    for rate in rates.values():
        repeats = 1 if rate.graph.startswith("ring") else ASKED["repeats"]
        ran_s = sum(rate.tasks / each for each in rate.tasks_per_s.values())
        builds_s = rate.first_build_s + repeats * rate.build_s * (repeats > 1)
        took_s.append(builds_s + repeats * ran_s)
    told, true = (np.cumsum(each) / sum(each) for each in (work_us, took_s))
    at_half = int(np.searchsorted(true, 0.5))
    assert 0.5 <= (1 - told[at_half]) / (1 - true[at_half]) <= 2

"""A plan lowered once has, on other hardware, the task graph that lowering it again gives."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner.reprice
from planner.reprice import Lowered
from planner.settings import change, parse_setting
from tests.planner.test_settings import machine_from, records_of
from tests.planner_cases import cases, edges_of

SETTINGS = ["bandwidth=0.3x", "latency=7us", "device.flops=3x", "device.speed=0.7x"]
SETTINGS += ["device.memory-bandwidth=2x", "device.launch=9us", "latency=0.1x", "bandwidth=1GB/s"]
FEW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def check_repriced(case, texts):
    records = records_of(case.machine)
    new = change(records, [parse_setting(text, records.values()) for text in texts])
    machine = machine_from(new, case.machine)
    lowered = Lowered.of(case.model, case.training, case.plan, case.machine)
    graph = lowered.on(machine)
    assert graph.sha256() == replace(case, machine=machine).lower().graph.sha256()


@given(case=cases(), texts=st.lists(st.sampled_from(SETTINGS), min_size=1, max_size=3))
@FEW
def test_repricing_is_lowering_to_the_bit(case, texts):
    check_repriced(case, texts)


@given(case=cases())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_cost_that_is_kept_is_seen(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner.reprice, "op_ps", lambda book, call: 1)
        with pytest.raises(AssertionError):
            check_repriced(case, ["device.speed=0.7x"])


def test_routes_that_move_are_lowered_again():
    """Two ways of two hops; the setting makes the other one the wider."""
    from hwprofiles.cluster import Cluster
    from planner.model import load_model
    from tests.planner_cases import Case, case, device, link, machine_of

    kinds = [device()] * 2
    ways = [
        (a, b, replace(link(rate), name=name))
        for hub, rate, name in (("x", 2e9, "left"), ("y", 1e9, "right"))
        for a, b in ((0, hub), (hub, 0), (1, hub), (hub, 1))
    ]
    machine = machine_of(Cluster.from_edges("two ways", kinds, ways))
    asked = case(load_model("mlp"), machine=machine, batch=64, microbatch=32)
    assert isinstance(asked, Case)
    lowered = Lowered.of(asked.model, asked.training, asked.plan, machine)
    records = records_of(machine)
    new = change(records, [parse_setting("link.right.bandwidth=4x", records.values())])
    moved = machine_from(new, machine)
    assert moved.cluster(2).route(0, 1).link_ids != machine.cluster(2).route(0, 1).link_ids
    expected = replace(asked, machine=moved).lower().graph
    assert lowered.on(moved).sha256() == expected.sha256()
    assert edges_of("mesh", 2) == [(0, 1), (1, 0)]

"""What a library pays once a call: with it a plan's exchange is the validated one, once a chain."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreplan.machines import load_machine
from hwprofiles.clusters import load_cluster
from hwprofiles.transport import shipped
from hwprofiles.units import PS_PER_S
from planner import library_cost
from planner.algorithms import algorithm, algorithm_names, numbered_names
from planner.collectives import in_network
from planner.collectives.base import Prices
from planner.cost import estimate
from planner.emission import script_of
from planner.fitted_links import fitted_links
from planner.library_cost import library_prices
from planner.lower import lower
from planner.model import load_model
from planner.piece_prices import switched_prices, transfer_prices
from planner.plan import Plan, Training
from planner.policies.base import call_s
from planner.reprice import Lowered
from planner.transport_groups import group_of
from sim.engine import simulate
from tests.planner_cases import case

STANDS = {"ring": "ring", "in_network": "nvls"}
ONE_PORT = ("dgx-2", "dgx-a100-80g", "dgx-h100", "dgx-b200")
"""Systems in which one port carries all that a rank sends, as a plan's one ring does."""
WHOLE = 1 << 28
"""Bytes up to which the pieces of a plan's reduction in the switch fill no longer than NCCL's."""


@cache
def node(system):
    return fitted_links(load_cluster(system))[0]


def exchange_s(name, system, ranks, elements):
    """One exchange of a plan, additions apart."""
    cluster, placement = node(system), tuple(range(ranks))
    prices = Prices(
        ranks=ranks,
        transfer_ps=transfer_prices(placement, cluster, "float32"),
        switched=switched_prices(placement, cluster, "float32"),
        add_ps=lambda rank, n: 0,
        holds_compute=False,
    )
    once_ps = library_prices(placement, cluster, "float32")(name, elements)
    return (algorithm(name).cost_ps(elements, prices) + once_ps) / PS_PER_S


@given(
    st.sampled_from(ONE_PORT),
    st.sampled_from(sorted(STANDS)),
    st.integers(2, 8),
    st.integers(1 << 10, 1 << 30),
)
@settings(max_examples=40, deadline=None)
def test_a_plans_exchange_in_a_node_takes_what_the_validated_law_says(system, name, ranks, size):
    group = group_of(system, ranks)
    if name == "in_network" and not group.switch_adds:
        return
    parts = ranks * in_network.PIECES
    elements = -(-size // 4 // parts) * parts
    expected_s = call_s("all_reduce", 4.0 * elements, group, shipped(), algorithm=STANDS[name])
    found_s = exchange_s(name, system, ranks, elements)
    assert found_s > expected_s * (1 - 1e-4)
    is_exact = name == "ring" or 4 * elements <= WHOLE
    assert found_s < expected_s * (1.001 if is_exact else 1.04) + 1e-9


def test_the_share_of_a_ring_in_a_switch_would_not_be_what_the_law_says(monkeypatch):
    """The seeded fault: flows through a switch at the rate of messages."""
    monkeypatch.setattr("planner.fitted_links._switched", lambda stack, half, best: None)
    node.cache_clear()
    wrong_s = exchange_s("in_network", "dgx-h100", 8, 1 << 26)
    node.cache_clear()
    expected_s = call_s(
        "all_reduce", 4.0 * (1 << 26), group_of("dgx-h100", 8), shipped(), algorithm="nvls"
    )
    assert wrong_s < 0.95 * expected_s


def one_bucket(workers, name="ring", **fields):
    return Plan(
        workers=workers,
        microbatch=8,
        placement=tuple(range(workers)),
        algorithm=name,
        bucket_bytes=1 << 30,
        overlap=False,
        **fields,
    )


def free(machine):
    """A machine whose library pays nothing once."""
    bare = machine.clusters[0]
    links = [replace(link, protocols=(), switched=None) for link in bare.links]
    return replace(machine, clusters={0: bare.with_links(links)})


@pytest.mark.parametrize("name", sorted({*algorithm_names(), "hierarchical:4", "pipelined_ring:2"}))
def test_a_lone_exchange_pays_once(name):
    machine, model = load_machine("dgx-h100", "pytorch-containers"), load_model("mlp")
    plan, training = one_bucket(8, name), Training(batch=64)
    times = []
    for one in (free(machine), machine):
        asked = model, training, plan, one.cluster(8), one.books(8)
        closed = estimate(*asked)
        times.append((closed.closed_form_ps, simulate(lower(*asked).graph).makespan_ps))
        assert times[-1][0] <= times[-1][1]
    once_ps = library_prices(plan.placement, machine.cluster(8), "float32")(
        name, model.parameter_count
    )
    assert once_ps > 1_000_000
    assert [after - before for before, after in zip(*times, strict=True)] == [once_ps] * 2


def assert_one_opens_each_lane(script):
    """No lane has two of the transfers that carry a call."""
    first = script.first_sends
    for side in (script.src, script.dst):
        seats = (side * script.channels + script.channel)[first]
        seats = seats[side[first] < script.ranks]  # a switch has no lane
        assert len(np.unique(seats)) == len(seats)


@pytest.mark.parametrize("name", [*algorithm_names(), *numbered_names()])
def test_one_transfer_of_a_lane_carries_the_call(name):
    for ranks in (2, 3, 4, 8, 12):
        assert_one_opens_each_lane(script_of(algorithm(name).emit, ranks))


def test_collects_that_all_begin_at_once_would_pay_for_every_piece():

    script = script_of(algorithm("in_network:2").emit, 4)
    wrong = replace(script, waits=script.waits[:0], waiting=script.waiting[:0])
    with pytest.raises(AssertionError):
        assert_one_opens_each_lane(wrong)


def test_many_small_buckets_pay_many_calls():
    machine, model = load_machine("dgx-h100", "pytorch-containers"), load_model("lenet-5")
    training, few = Training(batch=64), one_bucket(8, "in_network")
    many = replace(few, bucket_bytes=1 << 12)
    spans = {}
    for one in (free(machine), machine):
        for plan in (few, many):
            graph = lower(model, training, plan, one.cluster(8), one.books(8)).graph
            spans[one is machine, plan is many] = simulate(graph).makespan_ps
    dearer = {many: spans[True, many] - spans[False, many] for many in (False, True)}
    assert dearer[True] > 1.5 * dearer[False] > 0


def test_repricing_returns_what_lowering_does():
    machine, plan = load_machine("dgx-h100", "pytorch-containers"), one_bucket(8, "in_network")
    model, training = load_model("mlp"), Training(batch=64)
    lowered = Lowered.of(model, training, plan, free(machine))
    asked = model, training, plan, machine.cluster(8), machine.books(8)
    assert Lowered.of(model, training, plan, machine).on(machine).sha256() == (
        lower(*asked).graph.sha256()
    )
    assert lowered.on(free(machine)).sha256() == lowered.program.graph.sha256()


def test_links_through_memory_and_those_of_the_datasheet_pay_nothing():
    local = case(load_model("mlp"), workers=2)
    assert library_prices((0, 1), local.cluster, "float32")("ring", 1000) == 0
    plain = load_machine("dgx-h100").cluster(8)
    assert library_prices(tuple(range(8)), plain, "float32")("ring", 1000) == 0


@given(
    st.sampled_from(["dgx-a100-80g:2", "dgx-h100:2"]), st.integers(1, 1 << 30), st.integers(1, 99)
)
@settings(max_examples=20, deadline=None)
def test_between_nodes_less_never_pays_more_and_both_launches_are_in_it(system, size, more):
    tiers = library_cost._tiers(range(16), node(system))
    assert [sorted(tier.protocols)[-1] for tier in tiers] == ["simple", "simple"]
    one_s, other_s = (library_cost.call_s("ring", 16, s, tiers) for s in (size, size + more))
    spread = [rank // 2 + 8 * (rank % 2) for rank in range(16)]
    assert library_cost._tiers(spread, node(system)) == tiers
    least_s = [min(p.launch_s for p in tier.protocols.values()) for tier in tiers]
    assert sum(least_s) <= one_s <= other_s

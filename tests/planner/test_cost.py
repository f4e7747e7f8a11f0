"""Closed form and bounds: never above the simulation, exact where nothing is contended."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hwprofiles.device import OpCurve
from planner.algorithms import name_at
from planner.build import Rows, chain
from planner.calls import StepCalls
from planner.cost import Estimate, estimate, rounds_of
from planner.model import ModelGraph, load_model
from planner.piece_prices import pass_times
from planner.plan import Training
from planner.program import TransferTask
from planner.registers import plan_buckets
from planner.rounds import PassTimes, Rounds
from planner.shapes import direct_links
from sim.checks import check_graph
from sim.heap_engine import simulate
from tests.planner_cases import (
    Case,
    branched_models,
    case,
    cases,
    chain_models,
    cluster_of,
    device,
    link,
    machine_of,
    machines,
    models,
    plans,
    small_machine,
)

pytestmark = pytest.mark.slow

RANDOM = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def closed(c: Case) -> Estimate:
    return estimate(c.model, c.training, c.plan, c.cluster, c.books)


def simulated_ps(c: Case) -> int:
    graph = c.lower().graph
    check_graph(graph)
    return simulate(graph).makespan_ps


def check_bounds(found: Estimate, makespan_ps: int) -> None:
    assert makespan_ps >= found.closed_form_ps >= found.bound_ps > 0
    for name, value_ps in found.bounds_ps.items():
        assert makespan_ps >= value_ps, f"{name} is no lower bound"


@given(c=cases())
@RANDOM
def test_simulated_time_is_never_below_closed_form_nor_closed_form_below_bound(c):
    check_bounds(closed(c), simulated_ps(c))


def leading_tanh() -> ModelGraph:
    rows: Rows = [
        ("a", "tanh", {}),
        ("b", "tanh", {}),
        ("out", "linear", {"features": 3}),
    ]
    return ModelGraph(name="chain", blocks=chain((9,), rows), record_shape=(3, 3), classes=3)


@pytest.mark.parametrize("overlap", [False, True])
def test_layers_below_the_first_parameters_need_no_gradient(overlap):
    """Nothing is learnt from them, so neither program nor closed form may wait for them."""
    c = case(leading_tanh(), overlap=overlap, batch=4)
    phases = [call.name for call in c.lower().tasks]
    assert not [name for name in phases if name.endswith("input_grad")]
    check_bounds(closed(c), simulated_ps(c))
    assert c.model.flop("input_grad") == 0


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("name", ["resnet-18", "googlenet", "se-resnext-50", "densenet-121"])
def test_closed_form_of_a_convnet_is_its_simulation_without_contention(name, rounds):
    fields = {"workers": 2, "microbatch": 32, "batch": 64 * rounds}
    c = case(load_model(name), machine=small_machine(2, holds=True), algorithm="star", **fields)
    assert simulated_ps(c) == closed(c).closed_form_ps


@pytest.mark.parametrize("name", ["resnet-18", "googlenet"])
def test_closed_form_of_a_convnet_bounds_its_overlap(name):
    fields = {"workers": 4, "microbatch": 32, "batch": 128, "overlap": True}
    for bucket_bytes in (1 << 20, 25 << 20):
        c = case(load_model(name), bucket_bytes=bucket_bytes, **fields)
        check_bounds(closed(c), simulated_ps(c))


def first_leaves_ps(c: Case) -> int:
    """Return when the first transfer of the first bucket starts."""
    program = c.lower()
    sends = [i for i, info in enumerate(program.tasks) if isinstance(info, TransferTask)]
    return int(simulate(program.graph).start_ps[sends].min())


def check_ready(c: Case, bucket: int = 0, **changes: int) -> None:
    """The first bucket leaves when its last gradient is there: nothing is in its way before."""
    (book,) = c.books.values()
    passes = pass_times(c.model, StepCalls.of(c.model, c.training, c.plan), book)
    rounds = replace(rounds_of(c.training, c.plan, c.cluster), **changes)
    place = plan_buckets(c.model, c.training, c.plan)[bucket].place
    assert first_leaves_ps(c) == passes.end_ps(rounds, place)


@given(data=st.data(), machine=machines(holds=False))
@settings(max_examples=8, deadline=None)
def test_the_first_bucket_is_ready_when_loads_slots_and_passes_let_it(data, machine):
    model = data.draw(st.one_of(chain_models(), branched_models()))
    training, plan = data.draw(plans(model, machine.devices))
    assume(plan.workers > 1)
    plan = replace(plan, overlap=True, activation_slots=1)
    check_ready(Case(model=model, training=training, plan=plan, machine=machine))


def test_the_check_of_ready_times_shows_a_slot_too_many_and_a_gradient_too_few():
    slow_load = {"load/float32": OpCurve(flop_per_s=1e12, bytes_per_s=1e8)}
    machine = machine_of(cluster_of(device(curves=slow_load), 2, "mesh", link()))
    c = case(machine=machine, overlap=True, bucket_bytes=200, batch=24)
    check_ready(c)
    for fault in ({"input_slots": 2}, {"bucket": 1}, {"count": 5}):
        with pytest.raises(AssertionError):
            check_ready(c, **fault)


@given(
    times=st.tuples(*[st.sampled_from([0, 1, 5, 30, 100])] * 4),
    place=st.integers(0, 2),
    rounds=st.builds(
        Rounds, count=st.integers(1, 60), frames=st.integers(1, 3), input_slots=st.integers(1, 4)
    ),
)
@settings(max_examples=60, deadline=None)
def test_many_microbatches_begin_as_if_counted_one_by_one(times, place, rounds):
    load, *each = times
    passes = PassTimes(
        load_ps=load,
        until_ps=np.cumsum(each),
        added_ps=np.array([0, load, 2 * load]),
        input_place=place,
    )
    found = passes.begin_ps(rounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.rounds._rate", lambda *_: None)
        assert passes.begin_ps(rounds) == found


@st.composite
def exact_cases(draw: st.DrawFn) -> Case:
    """One bucket, no overlap, equal links, nothing shared; loading hidden or done once.

    Channels share the ports of a switch: there a plan has one.
    """
    model, holds = draw(models()), draw(st.booleans())
    machine = draw(machines(holds=holds, fabrics=("mesh", "switch"), equal=True))
    devices = 2 if holds else machine.devices
    training, plan = draw(plans(model, devices, rounds=(1, 2, 3) if holds else (1,)))
    assume(plan.workers > 1)
    whole = model.parameter_count * 4
    plan = replace(plan, overlap=False, bucket_bytes=whole)
    if plan.algorithm == "multi_ring" and not direct_links(machine.clusters[0]):
        plan = replace(plan, algorithm="multi_ring:1")
    algorithm = name_at(plan.algorithm, model.parameter_count)
    whole_array = algorithm in ("star", "tree")
    even = whole_array or model.parameter_count % (2 * plan.workers) == 0
    assume(even or (plan.workers == 2 and algorithm != "pipelined_ring"))
    assume(algorithm != "halving_doubling" or plan.workers != 3 or plan.landing_slots == 1)
    return Case(model=model, training=training, plan=plan, machine=machine)


@given(c=exact_cases())
@RANDOM
def test_closed_form_is_the_simulation_for_one_bucket_without_contention(c):
    assert simulated_ps(c) == closed(c).closed_form_ps


@pytest.mark.parametrize("fabric", ["mesh", "switch"])
@pytest.mark.parametrize("workers", [3, 4])
def test_two_channels_take_their_closed_form_by_links_of_their_own(workers, fabric):
    """Parts are equal: their additions queue once. At a switch they share its ports besides."""
    rows: Rows = [("out", "linear", {"features": 3})]
    model = ModelGraph(name="m", blocks=chain((7,), rows), record_shape=(1, 7), classes=3)
    machine = machine_of(cluster_of(device(), workers, fabric, link()))
    fields = {"workers": workers, "batch": 2 * workers, "algorithm": "multi_ring:2"}
    c = case(model, machine=machine, **fields)
    shares_ports = fabric == "switch"
    assert model.parameter_count % (2 * workers) == 0
    assert (simulated_ps(c) > closed(c).closed_form_ps) == shares_ports
    check_bounds(closed(c), simulated_ps(c))


@given(model=models(), machine=machines(holds=True), rounds=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_closed_form_is_the_simulation_for_one_worker_that_loads_for_itself(model, machine, rounds):
    c = case(model, machine=machine, workers=1, batch=2 * rounds)
    assert simulated_ps(c) == closed(c).closed_form_ps


@given(c=cases(equal=True), factor=st.sampled_from([1.01, 2.0, 100.0]), saved=st.booleans())
@RANDOM
def test_faster_links_raise_neither_closed_form_nor_bound(c, factor, saved):
    links = [
        replace(
            x,
            bandwidth_bytes_per_s=x.bandwidth_bytes_per_s * factor,
            overheads=((0.0, 0.0),) if saved else x.overheads,
        )
        for x in c.cluster.links
    ]
    edges = [(a, b, links[i]) for (a, b), i in c.cluster.edges.items()]
    faster = machine_of(type(c.cluster).from_edges("faster", c.cluster.devices, edges))
    before, after = closed(c), closed(replace(c, machine=faster))
    assert after.closed_form_ps <= before.closed_form_ps
    assert after.bound_ps <= before.bound_ps


def test_the_closed_form_of_a_linear_layer_on_paper():
    """One rank: load, forward, loss, weight gradient, update; each 1 us of launch, no other cost.

    Two ranks in a ring of 8-element halves: two more transfers of 1 us + 32 ns, one addition.
    """
    rows: Rows = [("out", "linear", {"features": 4})]
    model = ModelGraph(name="m", blocks=chain((3,), rows), record_shape=(1, 3), classes=4)
    fast = replace(
        device(), peak_flop_per_s={"float32": 1e30}, memory_bytes_per_s=1e30, launch_overhead_s=1e-6
    )
    machine = machine_of(cluster_of(fast, 2, "mesh", link(bandwidth=1e12, latency_s=1e-6)))
    us, rounding = 10**6, 10
    one = case(model, machine=machine, workers=1, batch=2)
    two = case(model, machine=machine, workers=2, batch=4)
    assert abs(closed(one).closed_form_ps - 5 * us) <= rounding
    assert abs(closed(two).closed_form_ps - (5 * us + us + 2 * (us + 32))) <= rounding


def test_the_largest_of_the_named_bounds_is_the_bound():
    found = closed(case(load_model("mlp"), workers=3, overlap=True, bucket_bytes=4))
    assert found.bound_ps == max(found.bounds_ps.values())
    assert set(found.bounds_ps) == {
        "compute lane",
        "input lane",
        "lanes and links of the exchange",
        "longest chain",
    }


# The oracle, shown to fail


def test_the_bounds_show_work_that_is_counted_twice():
    c = case(workers=2, batch=4, machine=small_machine(2, holds=True))
    found = closed(c)
    for name in found.bounds_ps:
        doubled = replace(found, bounds_ps={**found.bounds_ps, name: 2 * found.closed_form_ps})
        with pytest.raises(AssertionError):
            check_bounds(doubled, simulated_ps(c))


def test_the_bounds_show_a_chain_of_two_exchanges_where_there_is_one():
    c = case(load_model("lenet-5"), workers=3, batch=6)
    found, half = closed(c), closed(replace(c, training=Training(batch=12)))
    assert half.closed_form_ps > found.closed_form_ps
    with pytest.raises(AssertionError):
        check_bounds(half, simulated_ps(c))

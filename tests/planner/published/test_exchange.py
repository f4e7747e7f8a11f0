"""Exchanges of published runs: calls of a library over wires, NICs and hosts, for any ranks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.transport import shipped
from planner.calls import StepCalls
from planner.cost import compose, ready_ps, rounds_of
from planner.piece_prices import UpdateTimes, pass_times
from planner.plan import Plan, Training
from planner.policies.base import call_s
from planner.published import predict
from planner.published.cases import Case, express
from planner.published.exchange import HOST_BYTES_PER_S, exchange_s, library_exchange
from planner.published.predict import bounds, model_of, predicted_s
from planner.registers import plan_buckets
from planner.transport_groups import group_of, network_lane
from planner.transport_law import Group
from sim.engine import simulate
from sim.graphbuilder import GraphBuilder

LARGE = 10**12
"""Bytes at which latencies take no time."""
METHODS = ("ring", "star", "sharded_star", "hierarchical")


def run(system, workers, algorithm="ring", **changes):
    plan = Plan(
        workers=workers,
        microbatch=1,
        placement=tuple(range(workers)),
        algorithm=algorithm,
        bucket_bytes=changes.pop("bucket_bytes", 1),
        overlap=changes.pop("overlap", True),
    )
    return Case(
        model=changes.pop("model", "lenet-5"),
        device="v100-sxm2-32g",
        system=system,
        training=Training(batch=workers),
        plan=plan,
        stack="tensorflow-2",
        **changes,
    )


# What a method moves


@pytest.mark.parametrize(
    ("system", "gigabytes", "stack"),
    [("dgx-1-p100", 80, "nvlink-1"), ("dgx-1-v100", 150, "nvlink-2"), ("dgx-2", 150, "nvlink-2")],
)
def test_a_ring_in_a_node_takes_all_wires_of_a_device(system, gigabytes, stack):
    rate = gigabytes * 1e9 * shipped()[f"{stack}.simple_share"]
    found = exchange_s(system, 8, "ring", LARGE)
    assert found == pytest.approx(1.75 * LARGE / rate, rel=2e-3)


def test_an_all_reduce_is_that_of_the_law():
    for size in (10**3, 10**6, 10**9):
        found = exchange_s("dgx-1-v100:4", 32, "ring", size)
        assert found == call_s("all_reduce", size, group_of("dgx-1-v100", 32, 4), shipped())


def test_servers_on_a_host_serve_its_devices_one_after_the_other():
    four, eight = (exchange_s("aws-p2-8xlarge", n, "star", LARGE) for n in (4, 8))
    assert eight == pytest.approx(2 * four, rel=1e-3)
    assert four == pytest.approx(8 * LARGE / HOST_BYTES_PER_S, rel=1e-3)


@pytest.mark.parametrize("algorithm", ["star", "sharded_star"])
def test_a_node_sends_and_gets_all_but_its_own_part_of_its_servers(algorithm):
    inside = exchange_s("aws-p2-8xlarge", 8, algorithm, LARGE)
    across = [
        exchange_s(f"aws-p2-8xlarge:{nodes}", 8 * nodes, algorithm, LARGE) - inside
        for nodes in (2, 8)
    ]
    assert across[1] / across[0] == pytest.approx((7 / 8) / (1 / 2), rel=1e-3)
    lane = network_lane("aws-p2-8xlarge")
    share = shipped()[f"{lane.stack}.direct_share"]
    assert across[0] == pytest.approx(2 * LARGE / 2 / lane.bytes_per_s / share, rel=1e-2)


def test_a_hierarchy_sends_an_array_a_node_across():
    nodes, lane = 32, network_lane("big-basin-p100")
    between = Group(ranks=nodes, domains=nodes, inside=None, between=lane)
    across = call_s("all_reduce", LARGE, between, shipped())
    inside = exchange_s("big-basin-p100", 8, "ring", LARGE)
    found = exchange_s(f"big-basin-p100:{nodes}", 8 * nodes, "hierarchical", LARGE)
    assert found == pytest.approx(across + inside, rel=1e-3)


def test_rings_of_a_torus_go_one_axis_after_the_other():
    few, many = (exchange_s(f"tpu-v3:{side}x{side}", side * side, "ring", 1) for side in (4, 16))
    hop_s = shipped()["ici.simple_hop"]
    assert many - few == pytest.approx(2 * 2 * (15 - 3) * hop_s, rel=1e-2)


@given(st.sampled_from(METHODS), st.integers(1, 10**10), st.integers(1, 10**10))
@settings(max_examples=40, deadline=None)
def test_less_never_takes_longer_nor_do_fewer_nodes(algorithm, one, other):
    less, more = sorted((one, other))
    two, eight = (("dgx-2:2", 32), ("dgx-2:8", 128))
    assert exchange_s(*two, algorithm, less) <= exchange_s(*two, algorithm, more)
    assert 0 < exchange_s(*two, algorithm, less) <= exchange_s(*eight, algorithm, less)


# What a step makes of it


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("algorithm", METHODS)
def test_a_step_is_the_closed_form_of_plans_and_their_simulation(monkeypatch, algorithm, overlap):
    monkeypatch.setattr(predict, "SLOWER", 0.0)
    case = run("dgx-2:2", 32, algorithm, model="resnet-20", bucket_bytes=1 << 18, overlap=overlap)
    machine, model = case.machine(), model_of(case.model)
    calls = StepCalls.of(model, case.training, case.plan)
    book = next(iter(machine.books(32).values()))
    passes = pass_times(model, calls, book)
    cut = plan_buckets(model, case.training, case.plan)
    exchange = library_exchange(case, cut, UpdateTimes(calls, [book]))
    rounds = rounds_of(case.training, case.plan, machine.cluster(32))
    closed = compose([passes], exchange, rounds, overlap)
    assert len(cut) > 2
    assert predicted_s(case, machine) == pytest.approx(closed.closed_form_s, rel=1e-9)

    graph = GraphBuilder()
    compute, library = graph.lane(0), graph.lane(0)
    places = np.array([bucket.place for bucket in cut])
    ready = ready_ps([passes], rounds, places)
    end = int(passes.end_ps(rounds, -1))
    firings, begun = [], 0
    for instant in (*ready.tolist(), end):
        firings.append(graph.compute([compute], instant - begun, after=firings[-1:]))
        begun = instant
    for number, (cost, update) in enumerate(zip(exchange.cost_ps, exchange.update_ps, strict=True)):
        gradient = firings[number] if overlap else firings[-1]
        sent = graph.compute([library], cost, after=[gradient])
        graph.compute([compute], update, after=[sent, firings[-1]])
    assert simulate(graph.build()).makespan_ps == pytest.approx(closed.closed_form_ps, abs=2)


def test_without_overlap_all_exchanges_follow_the_passes():
    case = run("dgx-2", 16, model="vgg-16", bucket_bytes=25 << 20)
    after = replace(case, plan=replace(case.plan, overlap=False))
    machine = case.machine()
    assert predicted_s(after, machine) > predicted_s(case, machine)
    own = {own_s for own_s, _ in bounds(after, machine) if own_s}  # decoding precedes none
    assert len(own) == 1


# Who exchanges how


@pytest.mark.parametrize(
    ("told", "framework", "expected"),
    [
        ("NCCL all-reduce (Horovod or DDP/apex)", "TensorFlow", ("ring", 64, True)),
        ("NCCL all-reduce (Horovod or DDP/apex)", "PyTorch", ("ring", 25, True)),
        ("replicated(NCCL)", "TensorFlow (tf_cnn_benchmarks)", ("ring", 0, True)),
        ("parameter_server(cpu)", "TensorFlow (tf_cnn_benchmarks)", ("star", 0, True)),
        ("parameter_server(gpu)", "TensorFlow (tf_cnn_benchmarks)", ("sharded_star", 0, True)),
        ("replicated(no NCCL, gpu)", "TensorFlow (tf_cnn_benchmarks)", ("star", 0, True)),
        ("multi-GPU data parallel", "Caffe cuDNN 5.1", ("sharded_star", 1024, False)),
        ("Gloo all-reduce + NCCL intra-node", "Caffe2", ("hierarchical", 0, True)),
        ("", "PyTorch", ("ring", 25, True)),
    ],
)
def test_a_named_method_has_its_algorithm_its_buckets_and_its_overlap(told, framework, expected):
    row = {
        "model": "ResNet-50",
        "input_size": "224x224",
        "batch_per_device": "64",
        "precision": "fp32",
        "accelerator": "P100 SXM2 16GB (DGX-1)",
        "n_devices": "8",
        "devices_per_node": "8",
        "framework": framework,
        "comm_method": told,
        "year": "2017",
    }
    plan = express(row).plan
    assert (plan.algorithm, plan.bucket_bytes / 2**20, plan.overlap) == expected

"""Rings over nodes of several NICs: each channel leaves by a NIC of its own."""

from itertools import pairwise

import numpy as np
import pytest

from foreplan.machines import load_machine
from hwprofiles.clusters import load_cluster
from planner.algorithms import algorithm
from planner.collectives.multi_ring import rings, zigzag
from planner.cost import estimate
from planner.layout import memory_bytes
from planner.lone_exchange import exchange_graph
from planner.lower import lower
from planner.memory import plan_arena_bytes
from planner.model import load_model
from planner.network import cluster_network
from planner.plan import Plan, Training
from planner.race import Race
from planner.shapes import nic_channels, node_ranks, shaped_names
from sim.checks import check_graph
from sim.engine import run
from sim.heap_engine import simulate

RAILED = "multi_ring:8x1x8"
GIB = 2**30
NODES = {
    "dgx-h100:2": 8,
    "dgx-h100:3": 8,
    "aws-p4d-24xlarge:2": 4,  # two devices at each NIC
    "dgx-2:2": 8,  # 16 devices at eight NICs
    "frontier:2": 4,
    "azure-nd96isr-mi300x-v5:4": 8,
}
"""Clusters of several nodes, and how many NICs a node has."""


@pytest.mark.parametrize("spec", NODES)
def test_channels_enter_and_leave_every_node_by_all_its_nics(spec):
    cluster = load_cluster(spec)
    size, exits = node_ranks(cluster), cluster.routing.exits
    channels, nics = nic_channels(cluster), NODES[spec]
    assert (channels, nics) == (size, len(set(exits[:size])))
    assert f"multi_ring:{channels}x1x{size}" in shaped_names(cluster)
    order = rings(len(cluster.devices), (channels, 1, size)).order.tolist()
    crossings = [
        (exits[a], exits[b])
        for ring in order
        for a, b in pairwise([*ring, ring[0]])
        if a // size != b // size
    ]
    for side in (0, 1):
        assert sorted(pair[side] for pair in crossings) == sorted(exits), "each as often"
    rails = {pair[0].split(".")[1] == pair[1].split(".")[1] for pair in crossings}
    assert rails == {len(cluster.devices) // size % 2 == 0}, "two nodes of a rail, where it closes"


@pytest.mark.parametrize("spec", ["aws-p3-16xlarge:2", "dgx-h100", "tpu-v4:4x4x4"])
def test_where_a_node_has_one_nic_or_is_alone_nothing_is_turned(spec):
    assert nic_channels(load_cluster(spec)) == 1
    assert not any(
        name.count("x") == 2 and "ring" in name for name in shaped_names(load_cluster(spec))
    )


@pytest.mark.parametrize("size", [2, 4, 6, 8, 16])
def test_a_zigzag_turned_to_all_ranks_takes_every_pair_of_a_node_once(size):
    hops = [
        ((int(a) + turn) % size, (int(b) + turn) % size)
        for turn in range(size)
        for a, b in pairwise(zigzag(size))
    ]
    assert len(set(hops)) == len(hops) == size * (size - 1)


def bus_gb_per_s(name: str) -> float:
    """Return what the simulation says of 1 GiB between two nodes of eight."""
    network = cluster_network("dgx-h100:2")
    elements, cluster = GIB // network.item_bytes, network.cluster(16)
    graph = exchange_graph(name, elements, cluster, 16, network.add_ps, network.dtype)
    found_ps = run(graph, "heap").makespan_ps
    assert found_ps >= algorithm(name).cost_ps(elements, network.prices(16))
    return GIB * 2 * 15 / 16 / found_ps * 1e3


def test_eight_channels_are_near_the_rate_of_eight_nics_and_one_ring_near_that_of_one():
    """A NIC carries 50 GB/s a direction."""
    found = {name: bus_gb_per_s(name) for name in ("ring", "hierarchical:8", RAILED)}
    assert 0.94 * 400 < found[RAILED] < 400
    assert 0.97 * 50 < found["ring"] < 50
    assert found["ring"] < found["hierarchical:8"] < 0.7 * found[RAILED]


def test_the_fastest_of_large_arrays_over_nodes_is_the_turned_rings():
    network = cluster_network("dgx-h100:4")
    names = ("ring", "halving_doubling", "double_binary_tree", *network.numbered("all_reduce"))
    race = Race(network, 32, names)
    assert race.winner(GIB // 4) == RAILED
    assert race.winner(1 << 20) == "hierarchical_halving:8"


@pytest.mark.parametrize(("name", "slots"), [(RAILED, 1), ("multi_ring:8x2x8", 2)])
def test_memory_and_closed_form_of_a_plan_hold_over_nodes(name, slots):
    machine, model, training = (
        load_machine("dgx-h100:2"),
        load_model("alexnet"),
        Training(batch=512),
    )
    plan = Plan(
        workers=16,
        microbatch=32,
        placement=tuple(range(16)),
        algorithm=name,
        bucket_bytes=1 << 30,
        overlap=False,
        landing_slots=slots,
    )
    cluster, books = machine.cluster(16), machine.books(16)
    program = lower(model, training, plan, cluster, books)
    check_graph(program.graph)
    program.check_sharing()
    needed = plan_arena_bytes(model, training, plan)
    assert needed == max(program.arena_bytes(rank) for rank in range(16))
    assert needed == sum(memory_bytes(model, training, plan).values())
    bound_ps = estimate(model, training, plan, cluster, books).bound_ps
    assert 0.98 * (found_ps := simulate(program.graph).makespan_ps) < bound_ps <= found_ps
    carried = np.zeros(len(cluster.links))
    for task in np.flatnonzero(program.graph.route >= 0).tolist():
        links = program.graph.row("route", int(program.graph.route[task]))
        carried[links] += program.graph.payload_bytes[task]
    nics = set(cluster.routing.exits)
    out = [i for (a, b), i in cluster.edges.items() if a in nics and "leaf" in str(b)]
    whole = 4 * model.parameter_count
    np.testing.assert_allclose(carried[out], whole * 2 * 15 / 16 / 8, rtol=0.001)

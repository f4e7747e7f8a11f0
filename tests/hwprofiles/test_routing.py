"""Routes: shortest, the same every time, chosen as the cluster says, quick in big clusters."""

import pickle
from collections import Counter
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.cluster import Cluster
from hwprofiles.clusters import load_cluster
from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.link import Link
from hwprofiles.routing import Routing, dimension_order

DEVICE = Device(
    name="d", kind="gpu", memory_bytes=1, memory_bytes_per_s=1.0, peak_flop_per_s={"float32": 1.0}
)
WIRE = Link(name="w", bandwidth_bytes_per_s=1e9, overheads=((0.0, 1e-6),))
LEAF_SPINE = """
title = "t"
source = "s"
count = 32
[[devices]]
part = "k40"
[network]
builder = "leaf-spine"
link = "ethernet-10g"
per_leaf = 8
spines = 4
paths = "PATHS"
source = "s"
"""


def built(edges, devices, **rule):
    both = [(a, b, WIRE) for x, y in edges for a, b in ((x, y), (y, x))]
    return Cluster.from_edges("c", [DEVICE] * devices, both, routing=Routing(**rule))


def nodes(cluster, src, dst):
    """Return the nodes of a route."""
    ends = {link_id: pair for pair, link_id in cluster.edges.items()}
    path = [src]
    for link_id in cluster.route(src, dst).link_ids:
        assert ends[link_id][0] == path[-1]
        path.append(ends[link_id][1])
    return path


@given(seed=st.integers(0, 10**6), paths=st.sampled_from(["first", "hash", "balanced"]))
def test_a_route_has_the_fewest_hops(seed, paths):
    network = nx.gnp_random_graph(12, 0.3, seed=seed)
    if not nx.is_connected(network):
        network = nx.path_graph(12)
    names = {node: node if node < 6 else f"s{node}" for node in network}
    cluster = built([(names[a], names[b]) for a, b in network.edges], 6, paths=paths)
    for src in range(6):
        for dst in range(6):
            path = nodes(cluster, src, dst)
            assert path[-1] == dst
            assert len(path) - 1 == nx.shortest_path_length(network, src, dst)


@given(st.integers(0, 10**6))
def test_the_first_of_equal_paths_is_first_by_node_order(seed):
    network = nx.gnp_random_graph(10, 0.35, seed=seed)
    if not nx.is_connected(network):
        network = nx.cycle_graph(10)
    cluster = built(list(network.edges), 10)
    for dst in range(1, 10):
        assert nodes(cluster, 0, dst) == min(nx.all_shortest_paths(network, 0, dst))


@pytest.mark.parametrize("name", ["dgx-2", "aws-p4d-24xlarge", "gb200-nvl72"])
@pytest.mark.parametrize("count", [1, 2])
def test_of_two_ways_as_short_the_wider_is_taken(name, count):
    # GPU 0 and 1 are also under one PCIe switch, or at one CPU
    assert nodes(load_cluster(f"{name}:{count}"), 0, 1)[1].endswith("nvswitch")


@pytest.mark.parametrize("paths", ["hash", "balanced"])
def test_a_choice_of_paths_is_the_same_in_another_process(tmp_path, paths):
    (tmp_path / "c.toml").write_text(LEAF_SPINE.replace("PATHS", paths))
    cluster = load_cluster(tmp_path / "c.toml")
    again = pickle.loads(pickle.dumps(load_cluster(tmp_path / "c.toml")))
    for src, dst in ((0, 9), (3, 31), (17, 2)):
        assert cluster.route(src, dst) == again.route(src, dst)


def spine_loads(tmp_path, paths):
    (tmp_path / "c.toml").write_text(LEAF_SPINE.replace("PATHS", paths))
    cluster = load_cluster(tmp_path / "c.toml")
    uplinks = Counter()
    for src in range(8):
        for dst in range(8, 32):
            path = nodes(cluster, src, dst)
            uplinks[path[2]] += 1
    return [uplinks[f"spine{i}"] for i in range(4)]


def test_the_first_path_uses_one_spine_hashing_all_and_balance_all_alike(tmp_path):
    assert spine_loads(tmp_path, "first") == [192, 0, 0, 0]
    assert spine_loads(tmp_path, "balanced") == [48] * 4
    hashed = spine_loads(tmp_path, "hash")
    assert sum(hashed) == 192
    assert max(hashed) > 48  # hashing collides
    assert min(hashed) > 20


def test_balance_spreads_the_nodes_of_a_rail_over_the_spines():
    cluster = load_cluster("dgx-h100:64")
    spines = Counter(nodes(cluster, 5, node * 8 + 5)[4] for node in range(32, 64))
    assert len(spines) == 32  # two groups of 32 nodes: a spine for each node


@given(
    dims=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    wrap=st.booleans(),
    data=st.data(),
)
def test_dimension_order_is_shortest_and_turns_once_a_dimension(dims, wrap, data):
    size = 1
    for side in dims:
        size *= side
    src, dst = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    path = list(dimension_order(src, dst, dims, [wrap] * len(dims)))
    assert path[0] == src
    assert path[-1] == dst
    grid = nx.grid_graph(list(reversed(dims)), periodic=wrap)
    number = {place: i for i, place in enumerate(sorted(grid))}
    grid = nx.relabel_nodes(grid, number) if len(dims) > 1 else grid
    assert len(path) - 1 == nx.shortest_path_length(grid, src, dst)
    assert all(grid.has_edge(a, b) for a, b in pairwise(path))


def test_a_pod_routes_in_dimension_order():
    pod = load_cluster("tpu-v4:4x4x8")
    assert nodes(pod, 0, 42) == [0, 32, 40, 41, 42]
    assert len(pod.route(0, 127).links) == 3  # each ring by its wrap


def test_a_gpu_passes_nothing_on_and_a_chip_does():
    dgx = load_cluster("dgx-1-v100")
    assert nodes(dgx, 0, 5) == [0, "pcie0", "cpu0", "cpu1", "pcie2", 5]
    assert nodes(dgx, 0, 4) == [0, 4]
    assert nodes(load_cluster("tpu-v2"), 0, 3) == [0, 2, 3]


def test_devices_that_only_others_join_are_refused_where_none_passes_on():
    edges = [(0, "s"), (1, "s"), (1, 2)]
    with pytest.raises(ProfileError, match=r"device 0 does not reach \[2\]; add a host"):
        built(edges, 3, relay=False)
    assert nodes(built(edges, 3), 0, 2) == [0, "s", 1, 2]


def test_a_transfer_leaves_and_enters_by_the_nics_of_its_devices():
    cluster = load_cluster("dgx-h100:2")
    path = nodes(cluster, 0, 8 + 3)
    assert path[:4] == [0, "node0.pcie0", "node0.nic0", "leaf0.0"]
    assert path[-4:] == ["leaf0.3", "node1.nic3", "node1.pcie3", 11]
    shared = load_cluster("aws-p4d-24xlarge:2")
    assert "node0.nic3" in nodes(shared, 6, 9)
    assert "node0.nic3" in nodes(shared, 7, 9)
    assert nodes(load_cluster("gaudi-2-8:2"), 0, 8) == [0, "leaf0", 8]

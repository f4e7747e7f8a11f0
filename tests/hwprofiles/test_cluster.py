"""Clusters: every device reaches every other, by routes that do not depend on edge order."""

import random

import pytest

from hwprofiles.cluster import Cluster
from hwprofiles.device import Device
from hwprofiles.errors import ProfileError
from hwprofiles.link import Link

DEVICE = Device(
    name="d", kind="cpu", memory_bytes=1, memory_bytes_per_s=1.0, peak_flop_per_s={"float32": 1.0}
)
SQUARE = [(0, 1), (1, 2), (2, 3), (3, 0)]


def wire(name):
    return Link(name=name, bandwidth_bytes_per_s=1e9, overheads=((0.0, 1e-6),))


def both_ways(pairs):
    return [(a, b, wire(f"{a}-{b}")) for x, y in pairs for a, b in ((x, y), (y, x))]


def hops(cluster, src, dst):
    return [link.name for link in cluster.route(src, dst).links]


def test_a_tie_goes_to_the_first_node_whatever_the_order_of_edges():
    edges = both_ways(SQUARE)
    for seed in range(8):
        random.Random(seed).shuffle(edges)
        cluster = Cluster.from_edges("c", [DEVICE] * 4, edges)
        assert hops(cluster, 0, 2) == ["0-1", "1-2"]
        assert hops(cluster, 1, 3) == ["1-0", "0-3"]


def test_link_ids_of_a_route_name_the_links_it_crosses():
    cluster = Cluster.from_edges("c", [DEVICE] * 4, both_ways(SQUARE))
    for src in range(4):
        for dst in range(4):
            path = cluster.route(src, dst)
            assert tuple(cluster.links[i] for i in path.link_ids) == path.links


def test_a_route_to_the_device_itself_has_no_links():
    assert Cluster.from_edges("c", [DEVICE], []).route(0, 0).links == ()


def test_switches_carry_routes_and_overheads_add():
    cluster = Cluster.from_edges("c", [DEVICE] * 2, both_ways([(0, "switch"), (1, "switch")]))
    assert hops(cluster, 0, 1) == ["0-switch", "switch-1"]
    assert cluster.route(0, 1).transfer_s(1e6) == pytest.approx(2e-6 + 1e-3)


@pytest.mark.parametrize(
    ("devices", "edges", "sentence"),
    [
        (0, [], "at least one device"),
        (2, [], "cut off"),
        (2, [(0, 1, wire("w"))], "cut off"),
        (2, both_ways([(0, 1), (0, 1)]), "edge 0 -> 1: one edge joins"),
        (2, both_ways([(0, 0), (0, 1)]), "edge 0 -> 0: one edge joins"),
        (2, both_ways([(0, 1), (1, 2)]), "edge 1 -> 2: expected a device 0 to 1"),
    ],
)
def test_a_fabric_that_cannot_be_is_refused(devices, edges, sentence):
    with pytest.raises(ProfileError, match=sentence):
        Cluster.from_edges("c", [DEVICE] * devices, edges)

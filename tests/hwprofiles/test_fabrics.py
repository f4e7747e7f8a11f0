"""Fabrics: every builder joins all its ends evenly, and its bisection is that on paper."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.bisection import flow_bytes_per_s
from hwprofiles.clusterfacts import builder, builder_names
from hwprofiles.errors import ProfileError
from hwprofiles.fabrics.base import Wire, number, place_of
from hwprofiles.fabrics.hybrid_cube_mesh import DOUBLED, PAIRS
from hwprofiles.fabrics.torus import wraps

SMALL = st.integers(1, 6)
RATIO = st.sampled_from([1.0, 2.0, 3.0, 7.0])
ARGUMENTS = {
    "dragonfly": st.fixed_dictionaries(
        {"link": st.just("l"), "per_router": SMALL, "routers_per_group": SMALL}
        | {"global_cables": SMALL}
    ),
    "fat-tree": st.fixed_dictionaries(
        {"link": st.just("l"), "per_leaf": SMALL, "leaves_per_pod": SMALL},
        optional={"spines": SMALL, "cores": SMALL, "leaf_oversubscription": RATIO}
        | {"pod_oversubscription": RATIO},
    ),
    "flat": st.just({"link": "l"}),
    "full-mesh": st.just({"link": "l"}),
    "leaf-spine": st.fixed_dictionaries(
        {"link": st.just("l"), "per_leaf": SMALL},
        optional={"spines": SMALL, "oversubscription": RATIO},
    ),
    "nvswitch": st.just({"link": "l"}),
    "rail-optimised": st.fixed_dictionaries(
        {"link": st.just("l"), "rails": st.just(1), "nodes_per_leaf": SMALL},
        optional={"spines": SMALL, "oversubscription": RATIO},
    ),
}
"""Builders that take any number of ends; the others are tested apart."""


def wires(name, ends, **arguments):
    """Build as a file would: arguments are checked, defaults filled in."""
    build, keys = builder(name)
    told = keys.model_validate(arguments)
    return list(build(ends, **{key: getattr(told, key) for key in type(told).model_fields}))


def graph(built):
    joined = nx.Graph()
    joined.add_edges_from((wire.start, wire.end) for wire in built)
    return joined


def halves(built, left, right, rates=None):
    """Flow between two sets of ends in cables, or in the rates of links."""

    def rate(link):
        return 1e9 * (rates or {}).get(link, 1.0)

    flows = [
        flow_bytes_per_s(built, rate, *sides) / 1e9 for sides in ((left, right), (right, left))
    ]
    assert flows[0] == pytest.approx(flows[1])
    return flows[0]


def bisection(built, ends):
    return halves(built, range(ends // 2), range(ends // 2, ends))


def test_every_builder_is_tested():
    alone = {"edge-list", "hybrid-cube-mesh", "pcie-tree", "torus"}
    assert ARGUMENTS.keys() | alone == set(builder_names())


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data(), ends=st.integers(2, 40))
def test_all_ends_are_joined_once_and_no_wire_is_twice(name, data, ends):
    built = wires(name, ends, **data.draw(ARGUMENTS[name]))
    joined = graph(built)
    assert nx.is_connected(joined)
    assert {n for n in joined if isinstance(n, int)} == set(range(ends))
    assert joined.number_of_edges() == len(built)
    assert all(wire.cables > 0 and wire.start != wire.end for wire in built)
    ports = {len(joined[end]) for end in range(ends)}
    assert ports == {ends - 1 if name == "full-mesh" else 1}


@given(per_leaf=SMALL, leaves=st.sampled_from([2, 4, 6]), ratio=RATIO, spines=st.none() | SMALL)
def test_a_leaf_spine_carries_what_its_oversubscription_leaves(per_leaf, leaves, ratio, spines):
    ends = per_leaf * leaves
    arguments = {"per_leaf": per_leaf, "oversubscription": ratio, "spines": spines}
    built = wires("leaf-spine", ends, link="l", **arguments)
    assert bisection(built, ends) == pytest.approx(ends / 2 / ratio)


@pytest.mark.parametrize("ratio", [1.0, 3.0, 7.0])
def test_a_fat_tree_is_full_in_a_pod_and_oversubscribed_between(ratio):
    arguments = {"link": "l", "per_leaf": 4, "leaves_per_pod": 4, "pod_oversubscription": ratio}
    built = wires("fat-tree", 64, **arguments)
    assert halves(built, range(8), range(8, 16)) == pytest.approx(8)
    assert bisection(built, 64) == pytest.approx(32 / ratio)
    assert len(wires("fat-tree", 4, **arguments)) == 4  # one leaf needs nothing above it


def test_the_fat_tree_of_k_port_switches_is_that_of_the_paper():
    k = 4  # k^3/4 hosts, k^2/2 edge and aggregation switches each, k^2/4 cores
    built = wires("fat-tree", k**3 // 4, link="l", per_leaf=k // 2, leaves_per_pod=k // 2)
    switches = [n for n in graph(built) if isinstance(n, str)]
    assert sum("leaf" in s for s in switches) == sum("spine" in s for s in switches) == k * k // 2
    assert sum("core" in s for s in switches) == k * k // 4
    assert {degree for n, degree in graph(built).degree if isinstance(n, str)} == {k}


def test_a_rail_needs_no_spine_inside_its_group():
    built = wires("rail-optimised", 8 * 64, link="l", rails=8, nodes_per_leaf=32)
    joined = graph(built)
    rail = [node * 8 + 3 for node in range(32)]
    assert {next(iter(joined[end])) for end in rail} == {"leaf0.3"}
    assert halves(built, rail[:16], rail[16:]) == 16
    assert bisection(built, 512) == 256
    with pytest.raises(ProfileError, match="rails: expected a divisor of 9 NICs, got 2"):
        wires("rail-optimised", 9, link="l", rails=2, nodes_per_leaf=1)


def test_a_dragonfly_of_the_paper_has_one_cable_between_groups():
    p, a, h = 2, 4, 2  # balanced: a = 2p = 2h, a h + 1 = 9 groups
    arguments = {"per_router": p, "routers_per_group": a, "global_cables": h}
    built = wires("dragonfly", p * a * (a * h + 1), link="l", **arguments)
    between = [w for w in built if "group" in str(w.start) and w.start[:6] != w.end[:6]]
    assert len(between) == 9 * 8 // 2
    assert {wire.cables for wire in between} == {1.0}
    ports = [0] * 36
    for wire in between:
        for end in (wire.start, wire.end):
            group, router = str(end).removeprefix("group").split(".")
            ports[int(group) * a + int(router)] += 1
    assert set(ports) == {h}


def test_switches_and_meshes_carry_half_their_ends():
    assert bisection(wires("nvswitch", 72, link="l"), 72) == 36
    assert bisection(wires("flat", 9, link="l"), 9) == 4
    assert bisection(wires("full-mesh", 8, link="l"), 8) == 16


def test_the_cube_mesh_is_the_dgx_1_link_by_link():
    v100 = wires("hybrid-cube-mesh", 8, link="one", double_link="two")
    links = {gpu: {} for gpu in range(8)}
    for wire in v100:
        links[wire.start][wire.end] = links[wire.end][wire.start] = 1 + (wire.link == "two")
    assert links[0] == {1: 1, 2: 1, 3: 2, 4: 2}
    assert links[1] == {0: 1, 2: 2, 3: 1, 5: 2}
    assert [sum(row.values()) for row in links.values()] == [6] * 8
    assert [len(row) for row in links.values()] == [4] * 8  # three peers without a link
    assert halves(v100, range(4), range(4, 8), {"two": 2.0}) == 6
    p100 = wires("hybrid-cube-mesh", 8, link="one")
    assert [degree for _, degree in sorted(graph(p100).degree)] == [4] * 8
    assert bisection(p100, 8) == 4
    assert set(DOUBLED) < set(PAIRS)
    with pytest.raises(ProfileError, match="builder: expected 8 devices, got 4"):
        wires("hybrid-cube-mesh", 4, link="one")


@given(dims=st.lists(st.integers(1, 5), min_size=1, max_size=3), wrap=st.booleans())
def test_a_torus_is_joined_and_every_end_alike(dims, wrap):
    ends = number([d - 1 for d in dims], dims) + 1
    built = wires("torus", ends, link="l", dims=dims, wrap=wrap)
    assert [number(place_of(end, dims), dims) for end in range(ends)] == list(range(ends))
    if ends > 1:
        assert nx.is_connected(graph(built))
    links = [0.0] * ends
    for wire in built:
        links[wire.start] += wire.cables
        links[wire.end] += wire.cables
    if wrap:
        assert set(links) == {2.0 * sum(d > 1 for d in dims)}
    for axis, size in enumerate(dims):
        if size % 2 == 0:
            left = [end for end in range(ends) if place_of(end, dims)[axis] < size // 2]
            cut = ends // size * (2 if wrap else 1)
            assert halves(built, left, set(range(ends)) - set(left)) == pytest.approx(cut)


def test_a_slice_wraps_only_where_the_pod_does():
    assert wraps([4, 4, 8], pod=[16, 16, 16], cube=4) == (True,) * 3
    assert wraps([2, 2, 4], pod=[16, 16, 16], cube=4) == (False,) * 3
    assert wraps([4, 16], pod=[16, 16]) == (False, True)
    assert wraps([4, 4], wrap=False) == (False, False)


@pytest.mark.parametrize(("switches", "uplinks"), [(0, 0), (4, 4), (8, 8)])
def test_a_pcie_tree_is_spread_evenly_over_its_sockets(switches, uplinks):
    arguments = {"link": "p", "socket_link": "q", "switches": switches, "nics": 4}
    built = wires("pcie-tree", 8, **arguments)
    joined = graph(built)
    assert nx.is_tree(joined)
    assert sum("pcie" in str(w.start) and "cpu" in str(w.end) for w in built) == uplinks
    sockets = [nx.shortest_path_length(joined, gpu, "cpu0") for gpu in (0, 3, 4, 7)]
    assert sockets[0] == sockets[1] == sockets[2] - 1 == sockets[3] - 1
    assert bisection(built, 8) == 1  # the one wire between the sockets
    assert halves(built, range(2), range(2, 4)) in (1, 2)


def test_a_pcie_tree_of_several_hosts_joins_only_the_sockets_of_one():
    built = wires("pcie-tree", 8, link="p", hosts=2, sockets=4, socket_link="q")
    assert [len(part) for part in nx.connected_components(graph(built))] == [6, 6]
    with pytest.raises(ProfileError, match="sockets: expected a multiple of 2 hosts, got 3"):
        wires("pcie-tree", 8, link="p", hosts=2, sockets=3)
    with pytest.raises(ProfileError, match="switches: expected a multiple of 2 sockets"):
        wires("pcie-tree", 8, link="p", switches=3)


@given(st.integers(0, 10**6))
def test_the_flow_is_that_of_another_solver(seed):
    network = nx.gnp_random_graph(9, 0.4, seed=seed, directed=True)
    for a, b in network.edges:
        network.edges[a, b]["capacity"] = 1 + (a * 7 + b * 3 + seed) % 9
    names = {node: node if node in (0, 8) else f"s{node}" for node in network}
    edges = [
        Wire(names[a], names[b], "l", cables=c, directed=True)
        for a, b, c in network.edges.data("capacity")
    ]
    expected = nx.maximum_flow_value(network, 0, 8)
    assert flow_bytes_per_s(edges, lambda link: 1e9, {0}, {8}) / 1e9 == pytest.approx(expected)

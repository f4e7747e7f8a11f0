"""The map of topologies: exact switches, and the winners are those of the simulation."""

import doctest
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from planner import race, topology
from planner.algorithms import algorithm
from planner.lone_exchange import exchange_graph
from planner.network import cluster_network, flat_network
from planner.opcall import DTYPE_BYTES
from planner.race import LinkWork, Race
from planner.topology import SIMPLEST, record, remarks, sampled, topology_map
from sim.engine import simulate

ITEM_BYTES = DTYPE_BYTES["float32"]

RANKS = (2, 3, 5, 6, 8, 12)


@pytest.fixture(scope="module", params=["ethernet-1g", "infiniband-edr-100g"])
def network(request):
    return flat_network(request.param, "v100-sxm2-16g", 64)


@pytest.fixture(scope="module")
def found(network):
    return topology_map(network, RANKS, 1000, 10**9)


def is_exact(name, ranks):
    """Two trees meet on a receive lane where n + 2 is a power of two from 8 on."""
    return name != "double_binary_tree" or ranks not in (6, 14)


def winner(network, ranks, elements, names):
    """By the closed form of every rank, hop and chunk; of two trees that meet, by simulation."""
    prices = replace(network.prices(ranks), alike=False)
    times = {name: algorithm(name).cost_ps(elements, prices) for name in names}
    for name in names:
        if not is_exact(name, ranks):
            asked = network.cluster(ranks), ranks, network.add_ps, network.dtype
            times[name] = simulate(exchange_graph(name, 2 * -(-elements // 2), *asked)).makespan_ps
    return min(names, key=times.__getitem__)


def test_at_a_switch_one_element_decides(network, found):
    assert found.switches
    for s in found.switches:
        elements = s.first_bytes // ITEM_BYTES
        assert winner(network, s.ranks, elements, found.algorithms) == s.above
        assert winner(network, s.ranks, elements - 1, found.algorithms) == s.below


def test_bands_cover_every_size_once_and_name_the_winner(network, found):
    for column, ranks in enumerate(RANKS):
        bands = found.bands(column)
        assert bands[0][1] == found.payload_bytes[0]
        assert bands[-1][2] == found.payload_bytes[-1]
        for (a, _, end), (b, first, _) in pairwise(bands):
            assert end + ITEM_BYTES == first
            assert a != b
        for name, first, last in bands:
            middle = int(np.sqrt(first / ITEM_BYTES * last / ITEM_BYTES))
            assert winner(network, ranks, middle, found.algorithms) == name


def test_more_bandwidth_moves_the_switch_to_a_ring_to_more_bytes():
    slow, fast = (
        topology_map(flat_network(link, "v100-sxm2-16g", 64), (12,), 1000, 10**10)
        for link in ("ethernet-10g", "ethernet-100g")
    )
    (first,), (later,) = slow.switches, fast.switches
    assert first.above == later.above == "ring"
    assert 5 < later.first_bytes / first.first_bytes < 10


def check_samples(samples):
    assert samples
    for sample in samples:
        pairs = zip(SIMPLEST, sample.simulated_ps, sample.closed_ps, strict=True)
        for name, simulated, closed in pairs:
            exact = is_exact(name, sample.ranks)
            assert simulated == closed if exact else simulated >= closed, (name, sample)
        assert sample.agrees


@pytest.mark.parametrize("engine", ["heap", "simpy"])
def test_simulated_times_are_the_closed_forms_where_nothing_contends(found, engine):
    samples = sampled(found, 6, 8, seed=3, engine=engine)
    assert {sample.engine for sample in samples} == {engine}
    check_samples(samples)


def test_samples_follow_their_seed(found):
    assert sampled(found, 3, 6, seed=1) == sampled(found, 3, 6, seed=1)
    assert sampled(found, 3, 6, seed=1) != sampled(found, 3, 6, seed=2)


def test_a_slower_network_under_the_simulation_is_seen(found):
    """The oracle above, shown to fail."""
    other = flat_network("ethernet-10g", "v100-sxm2-16g", 64)
    wrong = replace(found, network=replace(found.network, cluster=other.cluster))
    lied = replace(wrong.network, cluster=lambda n: (found if n == 2 else wrong).network.cluster(n))
    with pytest.raises(AssertionError):
        check_samples(sampled(replace(found, network=lied), 4, 8))


@pytest.fixture(scope="module", params=["dgx-1-v100", "aws-p2-8xlarge"])
def mesh(request):
    return cluster_network(request.param)


def mesh_map(mesh):
    names = [*SIMPLEST, *mesh.numbered("all_reduce")]
    return topology_map(mesh, (3, 4, 6, 7, 8), 10**4, 10**8, names)


def test_where_routes_share_links_the_map_has_the_winners_of_the_simulation(mesh):
    found = mesh_map(mesh)
    samples = sampled(found, 12, 8, seed=2)
    for sample in samples:
        assert all(np.array(sample.simulated_ps) >= np.array(sample.closed_ps))
        assert sample.agrees
    assert any(sample.simulated_ps != sample.closed_ps for sample in samples)
    assert {ranks for ranks, _ in found.simulated} >= {3, 7, 8}
    assert "up to 32 ranks, times are simulated" in remarks(found)[0]


def test_closed_forms_alone_name_another_winner_there(mesh, monkeypatch):
    """The oracle above, shown to fail."""
    for module, name in ((race, "SIMULATED_RANKS"), (topology, "SIMULATED_RANKS")):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(race, "COUNTED_RANKS", 1)
    found = mesh_map(mesh)
    assert not found.simulated
    assert not all(sample.agrees for sample in sampled(found, 12, 8, seed=2))
    assert remarks(found) == ["above 1 ranks what waits is counted by the busiest link alone"]


def test_among_many_ranks_the_busiest_link_decides(monkeypatch):
    """Eight turned rings share NICs and PCI Express switches: two rings, simulated, are faster."""
    network, ranks, elements = cluster_network("dgx-1-v100:5"), 40, 10**8
    names = ("ring", "multi_ring:2", "multi_ring:8x1x8")
    assert Race(network, ranks, names).winner(elements) == names[1]
    asked = network.cluster(ranks), ranks, network.add_ps, network.dtype
    two_ps = simulate(exchange_graph(names[1], elements, *asked)).makespan_ps
    assert two_ps < LinkWork.of(network, names[2], ranks).least_ps(elements)
    monkeypatch.setattr(race, "COUNTED_RANKS", 1)
    assert Race(network, ranks, names).winner(elements) == names[2]


@given(
    spec=st.sampled_from(["dgx-1-v100", "aws-p2-8xlarge", "dgx-h100:2", "tpu-v2-board"]),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_what_is_known_of_an_algorithm_is_never_above_its_simulation(spec, data):
    network = cluster_network(spec)
    ranks = data.draw(st.integers(2, min(network.most_ranks, 10)))
    names = [*SIMPLEST, *network.numbered("all_reduce")]
    run = Race(network, ranks, names)
    place = data.draw(st.sampled_from([p for p in run.places if run.able[p]]))
    elements = run.part * data.draw(st.integers(1, 10**6))
    before = run.least_ps(place, elements)
    simulated = run.time_ps(place, elements)
    after = run.least_ps(place, elements)
    slack = 1 + simulated // 10**6  # flows through a switch that adds have no whole rates
    assert before <= after <= simulated + slack
    whole = exchange_graph(
        names[place], elements, network.cluster(ranks), ranks, network.add_ps, network.dtype
    )
    assert simulate(whole).makespan_ps == simulated


@given(ranks=st.integers(2, 20), first=st.integers(4, 10**4), more=st.integers(1, 10**6))
@settings(max_examples=8, deadline=None)
def test_times_rise_with_bytes(ranks, first, more):
    network = flat_network("ethernet-10g", "v100-sxm2-16g", 64)
    found = topology_map(network, (ranks,), first, first + 4 * more)
    assert (np.diff(found.times_ps, axis=2) >= 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ranks": (1, 2)}, "ranks: expected 2 to 64"),
        ({"ranks": (2, 65)}, "ranks: expected 2 to 64"),
        ({"first_bytes": 3}, "bytes: expected 4 B or more"),
        ({"last_bytes": 1000}, "bytes: expected 4 B or more"),
        ({"algorithms": ("broadcast",)}, "algorithm 'broadcast': expected an all-reduce"),
    ],
)
def test_what_cannot_be_is_one_sentence(network, change, said):
    asked = {"ranks": (2,), "first_bytes": 1000, "last_bytes": 10**6} | change
    with pytest.raises(PlanError, match=said):
        topology_map(network, **asked)


def test_the_record_has_stable_keys(found):
    keys = set(record(found))
    assert keys >= {"network", "algorithms", "ranks", "payload_bytes", "times_s", "switches"}


def test_examples_in_docstrings_are_so():
    assert doctest.testmod(topology).failed == 0


def test_on_nodes_what_has_their_shape_wins_where_it_suits_the_ranks():
    network = cluster_network("dgx-h100:2")
    shaped = ("hierarchical:8", "hierarchical_halving:8", "multi_ring:8x1x8", "in_network")
    names = ("ring", "halving_doubling", *shaped)
    assert network.numbered("all_reduce") == [*names[2:]]
    found = topology_map(network, (8, 12, 16), 10**5, 10**9, names)
    last = [found.bands(column)[-1][0] for column in range(3)]
    assert last[0] == "in_network"  # one node
    assert last[1] == "ring"  # one and a half
    assert last[2] == "multi_ring:8x1x8"
    assert found.bands(2)[-2][0].startswith("hierarchical")
    times = record(found)["times_s"]
    assert [row is None for row in (column[0] for column in times["hierarchical:8"])] == [1, 1, 0]
    samples = sampled(found, 3, 16, seed=5)
    for sample in samples:
        pairs = zip(sample.simulated_ps, sample.closed_ps, strict=True)
        assert all(simulated >= 0.999999 * closed for simulated, closed in pairs)


def test_a_name_that_suits_none_of_the_ranks_is_refused():
    with pytest.raises(PlanError, match="expected one that suits 12 ranks on 'dgx-h100:2'"):
        topology_map(cluster_network("dgx-h100:2"), (12,), 10**5, 10**6, ("hierarchical:8",))


@pytest.mark.parametrize(
    ("operation", "first", "last"),
    [
        ("all_to_all", "bruck_all_to_all", "all_to_all"),
        ("broadcast", "broadcast", "chain_broadcast:256"),
    ],
)
def test_other_collectives_have_a_map_that_the_simulation_agrees_with(operation, first, last):
    network = flat_network("ethernet-10g", "v100-sxm2-16g", 64)
    names = [*topology.simple_names(operation), *network.numbered(operation)]
    found = topology_map(network, (8,), 1000, 10**8, names, operation=operation)
    assert found.bands(0)[0][0] == first
    assert found.bands(0)[-1][0] == last
    samples = sampled(found, 3, 8)
    assert all(sample.agrees for sample in samples)
    for sample in samples:
        assert sample.simulated_ps == sample.closed_ps


def test_on_nodes_an_all_to_all_goes_by_rails_for_a_direct_one_waits_for_lanes(monkeypatch):
    network = cluster_network("dgx-h100:4")
    names = [*topology.simple_names("all_to_all"), *network.numbered("all_to_all")]
    asked = network, (32,), 10**5, 10**9, names
    found = topology_map(*asked, operation="all_to_all")
    assert [name for name, _, _ in found.bands(0)] == ["hierarchical_all_to_all:8"]
    (sample,) = sampled(found, 1, 32, seed=1)
    pairs = zip(sample.simulated_ps, sample.closed_ps, strict=True)
    assert all(simulated >= 0.999999 * closed for simulated, closed in pairs)
    monkeypatch.setattr(race, "SIMULATED_RANKS", 1)
    closed = topology_map(*asked, operation="all_to_all")
    assert [name for name, _, _ in closed.bands(0)] == ["hierarchical_all_to_all:8", "all_to_all"]

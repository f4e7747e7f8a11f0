"""The law of the transport stacks: its volumes are physics, and less never takes longer."""

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles import transport
from hwprofiles.errors import PlanError, ProfileError
from hwprofiles.parts import part_names
from hwprofiles.transport import shipped, stack_of, transports
from planner.collectives import double_binary_tree, ring
from planner.collectives.base import traffic
from planner.policies import nccl
from planner.policies.base import call_s, policy_names
from planner.transport_groups import group_of, network_lane
from planner.transport_law import OPERATIONS, WIRE_SHARE, Group, Lane, ways

WIRE = 1e9
SYSTEMS = ("dgx-1-v100", "dgx-a100-80g", "dgx-h100", "dgx-b200", "aws-p5-48xlarge", "mi300x-8")
groups = st.builds(
    lambda system, each, domains: group_of(system, each * domains, domains),
    st.sampled_from(SYSTEMS),
    st.integers(2, 8),
    st.integers(1, 6),
)
payloads = st.floats(1, 2e10)


def group(ranks, domains=1):
    """Ranks on lanes of one rate, whose constants have no effect on volumes."""
    inside = Lane(stack="nvlink-4", bytes_per_s=WIRE, port_bytes_per_s=WIRE)
    between = Lane(stack="infiniband", bytes_per_s=WIRE, port_bytes_per_s=WIRE)
    return Group(
        ranks=ranks,
        domains=domains,
        inside=inside if ranks > domains else None,
        between=between if domains > 1 else None,
        switch_adds=True,
    )


def volumes(found, algorithm, protocol="simple"):
    """Bytes by stack of a leg, of one byte of payload."""
    (way,) = [w for w in found if (w.algorithm, w.protocol) == (algorithm, protocol)]
    return {leg.shares[0].partition(".")[0]: leg.wire_s * WIRE for leg in way.legs if leg.shares}


def sent_by_rank(emit, ranks, elements):
    """What every rank sends where the algorithm is emitted as transfers."""
    sent = [0] * ranks
    for (src, _, width), count in traffic(emit, elements, ranks).sends.items():
        sent[src] += width * count
    return sent


# Volumes


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_ring_carries_what_the_emitted_ring_sends(ranks):
    elements = 5040
    found = volumes(ways("all_reduce", elements, group(ranks)), "ring")
    assert found["nvlink-4"] == pytest.approx(max(sent_by_rank(ring.emit, ranks, elements)))


@pytest.mark.parametrize(("nodes", "share"), [(2, 1), (3, 2), (4, 2), (16, 2)])
def test_a_tree_between_nodes_carries_the_array_once_for_two_and_twice_for_more(nodes, share):
    found = volumes(ways("all_reduce", 1.0, group(nodes, nodes)), "tree")
    assert found == {"infiniband": share}
    sent = sent_by_rank(double_binary_tree.emit, nodes, 1000)
    assert max(sent) <= share * 1000  # the emitted double tree, whose ends send less


@pytest.mark.parametrize("each", [4, 5, 6, 7, 8])
def test_a_switch_that_adds_takes_the_array_and_a_part(each):
    found = volumes(ways("all_reduce", 1.0, group(each)), "nvls")
    assert found["nvlink-4"] == pytest.approx((each + 1) / each)


def test_a_ring_leaves_a_domain_by_one_rank():
    found = volumes(ways("all_gather", 1.0, group(16, 2)), "ring")
    assert found["infiniband"] == pytest.approx(15 / 16)
    assert found["nvlink-4"] == pytest.approx(15 / 16 * 7 / 8)


def test_an_all_to_all_sends_to_others_what_they_are_of_all():
    found = volumes(ways("all_to_all", 1.0, group(16, 2)), "direct")
    assert found["infiniband"] == pytest.approx(8 * 8 / 16)
    assert found["nvlink-4"] == pytest.approx(7 / 16)


def test_protocols_pay_for_their_flags_on_the_wire():
    found = ways("all_gather", 1.0, group(4, 4))
    rates = {p: volumes(found, "ring", p)["infiniband"] for p in WIRE_SHARE}
    assert rates["ll"] == pytest.approx(2 * rates["simple"])
    assert rates["ll128"] == pytest.approx(rates["simple"] * 16 / 15)


@pytest.mark.parametrize(("nodes", "volume", "gb"), [(2, 1, 39.0), (4, 2, 20.4)])
def test_over_a_network_flags_in_every_word_hold_a_call_to_the_librarys_ceiling(nodes, volume, gb):
    found = ways("all_reduce", 1.0, group(nodes, nodes))
    (tree,) = [way for way in found if (way.algorithm, way.protocol) == ("tree", "ll")]
    (ceiling,) = [leg for leg in tree.legs if not leg.shares]
    assert ceiling.wire_s == pytest.approx(volume / (gb * 1e9))


# Compositions


def test_a_mesh_has_one_wire_to_a_peer_and_all_to_all_of_them():
    rates = {n: group_of("mi300x-8", n).inside.bytes_per_s for n in (2, 4, 8)}
    assert rates == {2: 64e9, 4: 3 * 64e9, 8: 7 * 64e9}
    assert group_of("dgx-h100", 2).inside == group_of("dgx-h100", 8).inside


def test_a_cube_mesh_is_as_wide_as_the_wires_inside_the_group():
    rates = {n: group_of("dgx-1-v100", n).inside.bytes_per_s for n in (2, 4, 8)}
    assert rates == {2: 25e9, 4: 100e9, 8: 150e9}


def test_a_rack_is_one_domain():
    assert group_of("gb200-nvl72", 72).between is None
    two = group_of("gb200-nvl72", 144, 2)
    assert two.inside.bytes_per_s == 900e9
    assert two.between.bytes_per_s == 72 * 50e9


def test_few_ranks_use_the_nics_that_are_near():
    whole = network_lane("dgx-h100")
    assert group_of("dgx-h100", 4, 2).between.bytes_per_s == whole.bytes_per_s / 4
    assert group_of("azure-nd40rs-v2", 4, 2).between.bytes_per_s == 12.5e9


def test_every_link_between_devices_or_nodes_goes_through_a_stack():
    sockets = ("qpi", "upi", "xgmi", "nvlink-c2c")
    assert [n for n in part_names("link") if not stack_of(n) and not n.startswith(sockets)] == []


def test_what_cannot_be_is_refused():
    with pytest.raises(PlanError, match="expected two ranks or more"):
        ways("all_reduce", 1.0, group(1))
    with pytest.raises(PlanError, match=r"'nvls': expected one that runs all_gather .* ring"):
        ways("all_gather", 1.0, group(8), "nvls")
    with pytest.raises(ProfileError, match="expected at most 8 ranks in a node, got 9"):
        group_of("dgx-h100", 9)
    with pytest.raises(ProfileError, match="expected one that a transport stack is known for"):
        group_of("dual-xeon-e5-2660-v3", 2)


# Monotony


@given(groups, st.sampled_from(OPERATIONS), st.sampled_from(policy_names()), payloads, payloads)
@settings(max_examples=60, deadline=None)
def test_less_payload_never_takes_longer(own, operation, name, one, other):
    less, more = sorted((one, other))
    times = [call_s(operation, size, own, shipped(), name=name) for size in (less, more)]
    assert times[0] <= times[1]


def test_where_the_library_errs_its_time_is_the_longest_so_far():
    own, sizes = group_of("dgx-a100-80g", 8), [2.0**place for place in range(34)]
    chosen = []
    for size in sizes:
        way = nccl.choose(ways("all_reduce", size, own), size, "all_reduce", own, shipped())
        chosen.append(way.time_s(shipped()))
    assert chosen != sorted(chosen)  # it does err here
    found = [call_s("all_reduce", size, own, shipped(), name="nccl") for size in sizes]
    assert found == pytest.approx([max(chosen[: place + 1]) for place in range(len(sizes))])


@given(groups, st.sampled_from(OPERATIONS), payloads, st.floats(1, 100))
@settings(max_examples=50, deadline=None)
def test_faster_constants_never_take_longer(own, operation, size, factor):
    faster = {
        name: min(1.0, value * factor) if name.endswith("share") else value / factor
        for name, value in shipped().items()
    }
    assert call_s(operation, size, own, faster) <= call_s(operation, size, own, shipped())


@given(groups, payloads)
@settings(max_examples=30, deadline=None)
def test_no_policy_beats_the_best(own, size):
    best, other = (call_s("all_reduce", size, own, shipped(), name=n) for n in ("best", "nccl"))
    assert best <= other * (1 + 1e-9)


# The library's own choice


def test_the_librarys_latencies_are_those_of_its_tables():
    own = group_of("dgx-h100", 8)
    found = {(w.algorithm, w.protocol): w for w in ways("all_reduce", 1.0, own)}
    expected_us = {
        ("ring", "ll"): 15.0,
        ("ring", "ll128"): 40.6,
        ("ring", "simple"): 56.0,
        ("nvls", "simple"): 25.0,
    }
    for key, value in expected_us.items():
        assert nccl.model_s(found[key], 0.0, "all_reduce", own) == pytest.approx(value * 1e-6)


def test_the_library_takes_a_ring_for_few_bytes_and_the_switch_for_many():
    own, chosen = group_of("dgx-h100", 8), {}
    for size in (1e3, 1e9):
        way = nccl.choose(ways("all_reduce", size, own), size, "all_reduce", own, shipped())
        chosen[size] = (way.algorithm, way.protocol)
    assert chosen == {1e3: ("ring", "ll"), 1e9: ("nvls", "simple")}


@given(st.sampled_from(sorted(nccl.TREE_FACTORS)), st.floats(1, 1e12), st.floats(1, 1e12))
def test_a_trees_figure_rises_with_the_size_between_the_steps_of_its_factor(protocol, one, other):
    less, more = sorted((one, other))
    assert less / nccl.tree_factor(protocol, less) <= more / nccl.tree_factor(protocol, more) * (
        1 + 1e-9
    )


# The shipped constants


def test_constants_are_few_and_belong_to_stacks_that_say_what_they_rest_on():
    blocks = transports()["stacks"]
    assert sum(len(block["fitted"]) for block in blocks.values()) <= 60
    for name, block in blocks.items():
        assert block["library"], name
        assert set(block["fitted"]) <= set(block["constants"])
        assert bool(block["rows"]) == bool(block["sources"])
        assert block["rows"] or not block["fitted"]
    assert not set(blocks) & set(part_names("cluster"))


def test_shares_are_shares_and_latencies_are_plausible():
    for name, value in shipped().items():
        assert 0 < value <= 1 if name.endswith("share") else 0 < value < 2e-3, name


def test_examples_in_docstrings():
    for module in (transport, nccl):
        assert doctest.testmod(module).failed == 0

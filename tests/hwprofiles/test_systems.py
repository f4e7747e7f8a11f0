"""Systems by name: every one loads, no trap of data sheets is in it, faults are one sentence."""

import time

import pytest

from hwprofiles.clusters import cluster_facts, load_cluster, split_spec
from hwprofiles.errors import ProfileError
from hwprofiles.parts import part_names
from hwprofiles.tiers import describe

GB = 1e9
WHOLE = {"eos", "frontier", "meta-24k-infiniband", "meta-24k-roce", "selene"}
"""Clusters of thousands of devices: two nodes of each are built here."""
OWN = {"dell-dss8440", "k40-quad", "v100-quad", "tpu-v2-board", "dual-xeon-e5-2660-v3", "p40-octo"}
OWN |= {
    f"{card}-8"
    for card in (
        "a100-pcie-40g", "a100-pcie-80g", "a40", "gtx-1080-ti", "h100-pcie", "l40s",
        "quadro-rtx-8000", "rtx-2080-ti", "rtx-3090", "rtx-4090", "rtx-a6000", "rtx-pro-6000", "t4",
        "v100-pcie-16g",
    )
}  # fmt: skip
BIG = 4096
MOST_BUILD_S, MOST_ROUTE_S = 8.0, 0.02


def tier(spec, name):
    return next(t for t in describe(spec).tiers if t.name == name)


def two(name):
    """Return a small cluster of every kind of system that has more than one node."""
    if name.startswith("tpu-v") and name not in OWN:
        return name
    return name if name in OWN else f"{name}:2"


@pytest.mark.parametrize("name", part_names("cluster"))
def test_in_every_system_devices_reach_each_other_equally_fast_both_ways(name):
    cluster = load_cluster(two(name))
    assert cluster.name == two(name)
    assert cluster.source
    last = len(cluster.devices) - 1
    pairs = [(0, dst) for dst in range(1, min(last, 9) + 1)] + [(last // 2, last), (0, last)]
    for src, dst in pairs:
        if src != dst:
            there, back = cluster.route(src, dst), cluster.route(dst, src)
            assert there.bandwidth_bytes_per_s == back.bandwidth_bytes_per_s > 0
            assert there.overhead_s(1) == pytest.approx(back.overhead_s(1))


@pytest.mark.alone
@pytest.mark.parametrize("name", ["dgx-h100", "gb200-nvl72", "aws-p4d-24xlarge", "frontier"])
def test_four_thousand_devices_are_built_in_seconds_and_a_route_found_in_milliseconds(name):
    each = len(describe(f"{name}:1").plan.parts)
    start = time.perf_counter()
    cluster = load_cluster(f"{name}:{-(-BIG // each)}")
    assert time.perf_counter() - start < MOST_BUILD_S
    assert len(cluster.devices) >= BIG
    start = time.perf_counter()
    for src in range(50):
        cluster.route(src, BIG - 1 - 67 * src)
    assert time.perf_counter() - start < 50 * MOST_ROUTE_S


# --- traps ---


@pytest.mark.parametrize(
    ("name", "one_direction"),
    [
        ("dgx-1-p100", 80),
        ("dgx-1-v100", 150),
        ("dgx-a100-80g", 300),
        ("dgx-h100", 450),
        ("dgx-b200", 900),
        ("mi300x-8", 448),
        ("gaudi-2-8", 262.5),
        ("aws-trn1-32xlarge", 192),
        ("aws-trn2-48xlarge", 512),
        ("tpu-v4:16x16x16", 270),
        ("tpu-v5e:16x16", 180),
    ],
)
def test_trap_2_links_of_a_system_count_one_direction(name, one_direction):
    assert tier(name, "scale-up").device_bytes_per_s == one_direction * GB


def test_trap_2_the_bisections_that_vendors_print_are_both_ways():
    assert 2 * tier("dgx-2", "scale-up").bisection_bytes_per_s == 2400 * GB
    assert 2 * tier("dgx-h100", "scale-up").bisection_bytes_per_s == 3600 * GB
    assert 4 * tier("gb200-nvl72", "scale-up").bisection_bytes_per_s == pytest.approx(
        130e12, rel=0.01
    )
    assert tier("tpu-v4:16x16x16", "scale-up").bisection_bytes_per_s == 2 * 16 * 16 * 45 * GB


@pytest.mark.parametrize(
    ("name", "pair"),
    [("mi300x-8", 64), ("gaudi-2-8", 37.5), ("gaudi-3-8", 75), ("mi355x-8", 76.5)],
)
def test_trap_3_on_a_mesh_a_pair_has_its_own_link_and_no_more(name, pair):
    cluster = load_cluster(name)
    routes = [cluster.route(0, peer) for peer in range(1, 8)]
    assert {route.bandwidth_bytes_per_s for route in routes} == {pair * GB}
    assert tier(name, "scale-up").port_bytes_per_s == pair * GB


def test_trap_3_pairs_of_a_dgx_1_have_one_link_two_or_none():
    cluster = load_cluster("dgx-1-v100")
    rates = [cluster.route(0, peer).bandwidth_bytes_per_s / GB for peer in range(1, 8)]
    assert rates == [25, 25, 50, 50, 15.75, 15.75, 15.75]


@pytest.mark.parametrize(
    ("name", "devices"),
    [("aws-p2-16xlarge", 16), ("frontier:1", 8), ("tpu-v2", 4), ("aws-trn1-32xlarge", 16)],
)
def test_trap_4_a_board_or_module_of_two_is_two_devices(name, devices):
    assert len(load_cluster(name).devices) == devices


def test_trap_4_two_gpus_of_a_k80_share_one_way_out():
    box = load_cluster("aws-p2-16xlarge")
    own, other = set(box.route(0, 8).link_ids), set(box.route(1, 8).link_ids)
    assert len(own & other) == 4  # all but the last wire to their board's switch
    assert len(box.route(0, 1).links) == 2


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("azure-nd96asr-v4", 25),  # the page prints 200 "GB/s"
        ("aws-p4d-24xlarge", 6.25),
        ("frontier:1", 12.5),
        ("gcp-a3-highgpu-8g", 12.5),
        ("gcp-a3-megagpu-8g", 25),
        ("aws-p5-48xlarge", 50),
        ("dgx-h100", 50),
    ],
)
def test_trap_9_a_device_has_its_share_of_the_nics_in_bytes(name, share):
    assert tier(name, "scale-out").device_bytes_per_s == share * GB


def test_trap_9_two_gpus_that_share_a_nic_share_its_wire():
    cluster = load_cluster("aws-p4d-24xlarge:2")
    first, second = set(cluster.route(0, 8).link_ids), set(cluster.route(1, 9).link_ids)
    assert len(first & second) == 4  # to the NIC, the leaf, the NIC, and to its switch


def test_trap_10_the_memory_of_a_node_is_what_software_sees():
    devices = load_cluster("dgx-a100-80g").devices
    assert sum(d.memory_bytes for d in devices) == pytest.approx(8 * 85.10e9, rel=1e-3)
    assert sum(d.memory_bytes for d in load_cluster("gb200-nvl72").devices) == pytest.approx(
        72 * 198.7e9, rel=1e-3
    )


def test_a_rack_of_72_is_one_domain_and_a_node_is_the_rack():
    rack = load_cluster("gb200-nvl72")
    assert len(rack.devices) == 72
    assert rack.route(0, 71).bandwidth_bytes_per_s == 900 * GB  # in other trays
    racks = load_cluster("gb200-nvl72:2")
    assert racks.route(0, 72).bandwidth_bytes_per_s == 50 * GB
    assert tier("gb200-nvl72", "scale-up").devices == 72


def test_a_transfer_over_a_switch_takes_what_one_between_two_gpus_takes():
    for name, whole_us in (("dgx-a100-80g", 1.8), ("dgx-h100", 0.9), ("hgx-h800", 0.9)):
        assert load_cluster(name).route(0, 7).overhead_s(1) * 1e6 == pytest.approx(whole_us)


def test_a_network_counts_its_latency_once_and_its_switches():
    cluster = load_cluster("aws-p3dn-24xlarge:64")
    # the NICs are at socket 0: GPU 0 two PCIe wires away on each side, EFA 15 us end to end
    near, far = cluster.route(0, 8).overhead_s(1) * 1e6, cluster.route(0, 511).overhead_s(1) * 1e6
    assert near == pytest.approx(2 + 15 + 2)
    assert far == pytest.approx(2 + 15 + 2 * 0.2 + 2 * 1 + 2 + 0.07)


def test_one_tcp_flow_does_not_fill_the_wire_of_a_p3():
    route = load_cluster("aws-p3-16xlarge:2").route(0, 8)
    assert route.bandwidth_bytes_per_s == 1.25 * GB
    assert min(link.bandwidth_bytes_per_s for link in route.links) == 3.125 * GB


def test_between_meta_pods_is_a_seventh_of_their_bandwidth():
    pods = tier("meta-24k-roce:768", "scale-out")  # two pods of 3072
    assert pods.bisection_bytes_per_s == pytest.approx(3072 * 50 * GB / 7)
    assert tier("meta-24k-roce:384", "scale-out").bisection_bytes_per_s == 1536 * 50 * GB


# --- names, shapes, files ---


@pytest.mark.parametrize(
    ("spec", "devices"),
    [
        ("dgx-a100-80g:16", 128),
        ("hgx-h100:2", 16),
        ("tpu-v4:4x4x8", 128),
        ("tpu-v5p:8x16x48", 6144),
        ("p4d.24xlarge:3", 24),
        ("eos:2", 16),
    ],
)
def test_a_name_an_alias_or_a_shape_says_how_many(spec, devices):
    assert len(describe(spec).plan.parts) == devices


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("dgx-h10", "cluster 'dgx-h10': unknown; did you mean dgx-h100"),
        ("DGX A100", "unknown; did you mean dgx-a100-40g"),
        ("dgx-h100:0", "after the colon: expected a number of nodes such as 4, got '0'"),
        ("dgx-h100:", "expected a number of nodes such as 4, got ''"),
        ("dgx-h100:4x4", "expected a number of nodes such as 4, got '4x4'"),
        ("dgx-h100:-1", "expected a number of nodes such as 4, got '-1'"),
        ("dgx-h100:999999999", "expected at most 1000000 devices, got 7999999992"),
        ("tpu-v4:64", "expected 3 dimensions such as 4x4x4, got '64'; a pod is 16x16x16 chips"),
        ("tpu-v4:4x0x4", "expected 3 dimensions such as 4x4x4, got '4x0x4'"),
        ("tpu-v4:16x16x17", "expected at most 4096 chips, which is a pod, got 4352"),
        ("v100-quad:2", "expected 1, for the file has no network to join nodes, got 2"),
    ],
)
def test_a_wrong_name_or_shape_is_one_sentence(spec, sentence):
    with pytest.raises(ProfileError) as caught:
        load_cluster(spec)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_may_have_a_colon_of_its_own():
    assert split_spec("C:\\a.toml") == ("C:\\a.toml", None)
    assert split_spec("a/b.toml:3") == ("a/b.toml", "3")


MINE = """
title = "mine"
source = "test"
count = 4
[[devices]]
part = "v100-pcie-16g"
count = 4
[host]
link = "pcie-3-x16"
socket_link = "2 x qpi-9.6"
switches = 2
nics = 1
source = "test"
[network]
builder = "leaf-spine"
link = "ethernet-100g"
per_leaf = 2
oversubscription = 2.0
source = "test"
"""
MIXED = """
title = "two kinds of node"
source = "test"
[[nodes]]
system = "mine.toml"
count = 2
[[nodes]]
system = "dgx-1-p100"
[network]
builder = "flat"
link = "ethernet-100g"
source = "test"
"""


def test_a_file_of_the_user_names_a_builder_and_its_parameters(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    cluster = load_cluster(tmp_path / "mine.toml")
    assert len(cluster.devices) == 16
    assert len(load_cluster(f"{tmp_path / 'mine.toml'}:6").devices) == 24
    assert tier(tmp_path / "mine.toml", "scale-out").bisection_bytes_per_s == 12.5 * GB


def test_nodes_of_two_kinds_and_devices_of_two_kinds_are_joined(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    (tmp_path / "mixed.toml").write_text(MIXED)
    cluster = load_cluster(tmp_path / "mixed.toml")
    names = [device.name for device in cluster.devices]
    assert names == ["v100-pcie-16g"] * 8 + ["p100-sxm2-16g"] * 8
    assert cluster.route(0, 15).bandwidth_bytes_per_s == 12.5 * GB
    with pytest.raises(ProfileError, match="the file says how many of each kind, got 2"):
        load_cluster(f"{tmp_path / 'mixed.toml'}:2")
    two_kinds = MINE.replace(
        "count = 4\n[host]", 'count = 2\n[[devices]]\npart = "k40"\ncount = 2\n[host]'
    )
    (tmp_path / "mine.toml").write_text(two_kinds)
    kinds = {device.name for device in load_cluster(tmp_path / "mine.toml").devices}
    assert kinds == {"v100-pcie-16g", "k40"}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("per_leaf = 2", "", "network.per_leaf: expected, but not there"),
        ("per_leaf", "per_leav", "network.per_leav: not a key of this block"),
        ("= 2.0", "= 0.5", "network.oversubscription: should be greater than or equal to 1"),
        (
            '"leaf-spine"',
            '"leafspine"',
            "network.builder 'leafspine': unknown; did you mean leaf",
        ),
        ("switches = 2", "switches = 3", "host.switches: expected a multiple of 2 sockets"),
        ('"2 x qpi', '"two x qpi', "expected a number before ' x ', got 'two'"),
        ("count = 4\n[[d", "count = 0\n[[d", "count: should be greater than or equal to 1, got 0"),
        (
            '[[devices]]\npart = "v100-pcie-16g"\ncount = 4',
            "",
            "should have either devices or nodes",
        ),
    ],
)
def test_a_wrong_builder_or_parameter_names_key_expected_and_got(tmp_path, old, new, sentence):
    path = tmp_path / "mine.toml"
    assert old in MINE
    path.write_text(MINE.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        load_cluster(path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"cluster file '{path}': ")


def test_facts_of_a_system_print_as_json_types():
    record = cluster_facts("dgx-h100").model_dump(mode="json", exclude_none=True)
    assert record["host"]["nics"] == 8
    assert record["power"]["node_kw"] == 10.2


@pytest.mark.alone
def test_a_system_is_described_without_a_solver():
    start = time.perf_counter()
    assert describe("eos").bisection_bytes_per_s == 2304 * 50 * GB
    assert time.perf_counter() - start < 2.0

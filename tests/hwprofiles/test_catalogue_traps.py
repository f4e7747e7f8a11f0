"""Figures that are easily read wrongly, one trap after the other."""

import pytest

from hwprofiles.parts import (
    device_facts,
    link_facts,
    load_device,
    load_link,
    part_aliases,
)
from tests.hwprofiles.test_catalogue import DEVICES, GB, LINKS, TFLOP, gb_per_s, tflop

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "dtype", "dense"),
    [
        ("rtx-5090", "float16", 209.5),
        ("rtx-5090", "fp4", 1676),
        ("l4", "float16", 121),
        ("l4", "fp8", 242),
        ("l40s", "bfloat16", 362),
        ("b200", "bfloat16", 2250),
        ("b200", "fp8", 4500),
        ("b200", "fp4", 9000),
        ("mi355x", "fp8", 5033),
        ("trn2", "fp8", 1299),
    ],
)
def test_trap_1_rates_are_dense(name, dtype, dense):
    assert tflop(name, dtype) == dense


def test_trap_1_the_h200_has_989_not_1979_in_bfloat16():
    assert tflop("h200", "bfloat16") == pytest.approx(989, abs=1)


@pytest.mark.parametrize(
    ("name", "one_direction"),
    [
        ("p100-sxm2-16g", 80),
        ("v100-sxm2-16g", 150),
        ("a100-80g", 300),
        ("h100", 450),
        ("b200", 900),
        ("tpu-v5e", 180),
        ("tpu-v6e", 360),
        ("tpu-v7", 600),
        ("trainium-1", 192),
        ("trainium-2", 512),
        ("mi300x", 448),
    ],
)
def test_trap_2_links_of_a_device_count_one_direction(name, one_direction):
    assert device_facts(name).scale_up.total_gb_per_s == one_direction


def test_trap_2_links_count_one_direction():
    assert 6 * gb_per_s("nvlink-2") == gb_per_s("nvlink-2-x6") == 150
    assert gb_per_s("nvlink-c2c") == 450
    assert gb_per_s("pcie-5-x16") == 63
    assert gb_per_s("ici-tpu-v4") == gb_per_s("ici-tpu-v5e") == 45


def test_trap_3_a_pair_without_a_switch_has_only_its_own_links():
    assert gb_per_s("infinity-fabric-mi300x") == 64
    assert device_facts("mi300x").scale_up.total_gb_per_s == 7 * 64
    assert gb_per_s("roce-gaudi-2-x3") == 37.5
    assert gb_per_s("roce-gaudi-3-x3") == 75
    assert (gb_per_s("nvlink-2-x1"), gb_per_s("nvlink-2-x2")) == (25, 50)
    # No part offers all of a mesh's links to one peer.
    mesh = [link for name, link in LINKS.items() if name.startswith(("infinity", "roce-gaudi"))]
    assert max(link.links for link in mesh) <= 4


def test_trap_4_a_device_is_what_software_sees():
    k80, gcd, superchip = (device_facts(name) for name in ("k80-gk210", "mi250x-gcd", "gb200"))
    assert (k80.memory.total_bytes, k80.memory.bandwidth_gb_per_s) == (12 * GB, 240)
    assert (tflop("k80-gk210", "float32"), k80.power.board_w) == (2.8, 150)
    assert (tflop("mi250x-gcd", "bfloat16"), gcd.memory.bandwidth_gb_per_s) == (191.5, 1638)
    assert gcd.memory.total_bytes < 64 * 2**30
    assert superchip.memory.total_bytes == pytest.approx(198.7e9, rel=1e-3)  # of one GPU
    assert tflop("gb200", "bfloat16") == 2500
    assert tflop("b200", "float64") == 37  # 296 is a DGX of eight
    assert (device_facts("trn1").compute.cores, device_facts("trn2").compute.cores) == (2, 8)
    for board in ("k80", "mi250x"):
        assert board not in part_aliases("device")


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("h100", 0.80),
        ("a100-80g", 0.87),
        ("a100-pcie-80g", 0.81),
        ("b200", 0.78),
        ("mi300x", 0.51),
        ("mi325x", 0.60),
        ("mi355x", 0.622),
    ],
)
def test_trap_5_the_best_measured_product_stands_beside_the_peak(name, share):
    measured = device_facts(name).measured.bfloat16_matmul_tflop_per_s
    assert measured / tflop(name, "bfloat16") == pytest.approx(share, abs=0.006)


def test_trap_5_the_h100_is_rated_at_1830_not_at_its_boost_clock():
    h100 = device_facts("h100").compute
    flop_per_cycle = h100.cores * 4 * 1024  # 4 matrix units of 512 multiply-adds
    assert tflop("h100", "bfloat16") == pytest.approx(flop_per_cycle * 1830e6 / TFLOP, rel=1e-3)
    assert h100.boost_mhz == 1980


@pytest.mark.parametrize(
    ("name", "product", "vector"),
    [
        ("rtx-2080-ti", 53.8, 26.9),
        ("rtx-3090", 71.2, 35.6),
        ("rtx-4090", 165.2, 82.6),
        ("rtx-5090", 209.5, 104.8),
    ],
)
def test_trap_6_geforce_sums_in_float32_at_half_rate(name, product, vector):
    assert tflop(name, "float16") == product
    device = load_device(name)
    assert device.curve("tanh_forward", "float16").flop_per_s == vector * TFLOP
    if name != "rtx-2080-ti":  # which has no bfloat16
        assert tflop(name, "bfloat16") == product
    assert "sums in float16" in (note := device_facts(name).peak.note) or "float16 sums" in note


def test_trap_6_the_a40_and_a6000_have_the_matrix_rate_too():
    assert (tflop("a40", "bfloat16"), tflop("a6000", "bfloat16")) == (149.7, 154.8)


def test_trap_7_no_link_is_calibrated_on_a_switch_that_adds():
    assert link_facts("nvswitch-3").achievable_gb_per_s == pytest.approx(367.6, rel=0.01)
    assert link_facts("nvswitch-4").achievable_gb_per_s == pytest.approx(682, rel=0.01)
    assert "NVLS" in link_facts("nvswitch-3").note


def test_trap_8_constants_of_a_library_are_not_the_wire():
    latency_us = load_link("efa-v1").overhead_s(1) * 1e6
    assert latency_us == pytest.approx(15)  # 75 or 150 is what a plug-in reports to its library
    assert gb_per_s("nvlink-3-x12") == 300  # the library reckons with 20 a link
    assert gb_per_s("qpi-9.6") == 19.2  # and with 6 here


@pytest.mark.parametrize("name", [n for n, link in LINKS.items() if link.kind == "scale-out"])
def test_trap_9_a_name_in_gigabits_is_an_eighth_in_gigabytes(name):
    digits = "".join(c for c in name.rpartition("-")[2] if c.isdigit())
    named_gbit = {"infiniband-fdr-56g": 54.4, "roce-400g-fabric": 400, "dcn-tpu-v5p": 50}
    named_gbit |= {"efa-v1": 100, "efa-v2": 100, "efa-v3": 200, "efa-v4": 400}
    named_gbit |= {"aries": 81.6, "slingshot-11": 200, "gpudirect-tcpx": 200}
    named_gbit |= {"gpudirect-tcpxo": 200}
    gbit = named_gbit.get(name) or float(digits)
    assert gb_per_s(name) * 8 == pytest.approx(gbit)


@pytest.mark.parametrize(
    ("name", "visible_gb"),
    [
        ("v100-sxm2-16g", 16.94),
        ("a100-sxm4-80g", 85.10),
        ("h100-sxm5-80g", 84.94),
        ("h200-sxm-141g", 150.8),
        ("b200-sxm-180g", 192.3),
        ("gb200-186g", 198.7),
        ("b300-sxm-288g", 297.0),
        ("gb300-288g", 297.0),
    ],
)
def test_trap_10_memory_is_what_software_sees(name, visible_gb):
    assert load_device(name).memory_bytes == pytest.approx(visible_gb * GB, rel=1e-3)


def test_trap_10_a_label_without_visible_bytes_says_how_it_was_read():
    for name, device in DEVICES.items():
        memory = device.memory
        if device.kind == "cpu":
            assert "assumed" in memory.note, name
        elif memory.capacity_bytes is None:
            assert (
                "label read as" in memory.note
                or "ead as decimal" in memory.note
                or ("GiB in the source" in memory.note)
            ), name
            assert memory.confidence != "high" or device.vendor == "AWS", name
    # The assumed share of 1.4 % is within 0.5 % of the parts whose bytes are known.
    assumed = load_device("a800").memory_bytes
    assert assumed == pytest.approx(load_device("a100-80g").memory_bytes, rel=5e-3)


def test_trap_10_neuron_bandwidth_is_converted_from_gib():
    assert load_device("trn1").memory_bytes_per_s == pytest.approx(820 * 2**30, rel=1e-3)

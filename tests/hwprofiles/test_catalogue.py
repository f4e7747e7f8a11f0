"""The catalogue: every shipped file is whole, every trap of datasheets is avoided, by number."""

import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest

from hwprofiles.catalogue import COMMAND, KINDS, LINK_KINDS, page
from hwprofiles.clusterfacts import ClusterPart
from hwprofiles.clusters import cluster_facts
from hwprofiles.errors import ProfileError
from hwprofiles.facts import DevicePart, LinkPart, Sourced
from hwprofiles.markdown import table
from hwprofiles.parts import (
    device_facts,
    link_facts,
    load_device,
    load_link,
    part_aliases,
    part_names,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DATA = ROOT / "hwprofiles" / "data"
GB, TFLOP = 1e9, 1e12
DEVICES = {name: device_facts(name) for name in part_names("device")}
LINKS = {name: link_facts(name) for name in part_names("link")}
SYSTEMS = {name: cluster_facts(name) for name in part_names("cluster")}


NEEDED = {
    "devices": ("vendor", "year", "form"),
    "links": ("latency_basis", "kind"),
    "clusters": ("title", "confidence"),
}
"""Keys that a user's own file may leave out and a shipped one may not."""


def tflop(name, dtype):
    """Return the rate of a product, which the matrix unit computes where there is one."""
    return load_device(name).curve("matmul", dtype).flop_per_s / TFLOP


def gb_per_s(name):
    return load_link(name).bandwidth_bytes_per_s / GB


def ungraded(part: DevicePart | LinkPart | ClusterPart) -> list[str]:
    """Return the blocks that do not say how well their source holds."""
    blocks = [("", part)] if isinstance(part, Sourced) else []
    blocks += [(f"{key}.", getattr(part, key)) for key in type(part).model_fields]
    return [
        f"{key}confidence"
        for key, block in blocks
        if isinstance(block, Sourced) and block.confidence is None
    ]


def faults(folder: Path) -> list[str]:
    """Return a sentence with file and key for everything wrong in a folder of parts."""
    found = []
    read = {"devices": device_facts, "links": link_facts, "clusters": cluster_facts}
    for kind, facts in read.items():
        for path in sorted((folder / kind).glob("*.toml")):
            where = f"{kind}/{path.name}"
            try:
                part = facts(path)
            except ProfileError as error:
                found.append(f"{where}: {error}")
                continue
            found += [f"{where}: {key}: expected in every shipped block" for key in ungraded(part)]
            found += [f"{where}: {key}: expected" for key in NEEDED[kind] if not getattr(part, key)]
    return found


def test_every_shipped_file_is_valid_and_each_of_its_blocks_has_a_source_and_a_confidence():
    assert len(list((DATA / "devices").glob("*.toml"))) == len(DEVICES) == 111
    assert len(list((DATA / "links").glob("*.toml"))) == len(LINKS) == 80
    assert len(list((DATA / "clusters").glob("*.toml"))) == len(SYSTEMS) == 67
    assert faults(DATA) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("devices/a10.toml", "_gb_per_s = 600", "_gbit_per_s = 600", "memory.bandwidth_gbit_per_s"),
        ("devices/l4.toml", 'confidence = "high"', "", "peak.confidence: expected"),
        ("devices/k40.toml", "year = 2013", "", "year: expected"),
        ("links/efa-v1.toml", "latency_basis = ", "efficiency_basis = ", "latency_basis: expected"),
        ("links/efa-v4.toml", "efficiency = 0.74", "efficiency = 1.74", "efficiency: should be"),
        ("links/nvswitch-3.toml", "endpoint_basis = ", "note2 = ", "note2: not a key"),
        ("clusters/dgx-2.toml", "nics = 8", "nicks = 8", "host.nicks: not a key of this block"),
        ("clusters/dgx-2.toml", 'nvswitch"', 'nvswich"', "fabric.builder 'nvswich': unknown"),
        ("clusters/eos.toml", "rails = 8", "rails = 0", "network.rails: should be greater"),
        ("clusters/eos.toml", 'paths = "balanced"', 'paths = "best"', "network.paths: should be"),
    ],
)
def test_a_fault_in_a_shipped_file_is_told_by_file_and_key(tmp_path, file, old, new, sentence):
    text = (DATA / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    found = faults(tmp_path)
    assert all(line.startswith(f"{file}: ") for line in found)
    assert sentence in "; ".join(found)


@pytest.fixture(scope="module")
def text():
    return page()


def test_the_page_in_docs_is_fresh(text):
    fresh = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8") == text + "\n"
    assert fresh, f"docs/hardware.md is not what the files say; run: {COMMAND}"


def test_the_page_names_every_part_alias_and_unit(text):
    kinds = ("device", "link", "cluster")
    named = chain(DEVICES, LINKS, SYSTEMS, *(part_aliases(kind) for kind in kinds))
    assert [name for name in named if f"`{name}`" not in text] == []
    assert {d.kind for d in DEVICES.values()} == set(KINDS)
    assert {link.kind for link in LINKS.values()} == set(LINK_KINDS)
    for cell in ("memory GB", "achievable GB/s", "TFLOP/s", "latency us", "$/h", "| W |"):
        assert cell in text
    assert "| `nvlink-3` | 1 | 25 | 0.91 | 22.75 | 1.8 | high |" in text


def test_the_command_writes_the_page(text):
    command = [sys.executable, "-m", "hwprofiles.catalogue"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == text + "\n"


def test_a_table_is_markdown():
    assert table(["a", "b"], [["x", "1"]]) == ["| a | b |", "| --- | ---: |", "| x | 1 |"]


# --- names ---


def test_an_alias_is_the_part_it_stands_for():
    assert load_device("h100") == load_device("h100-sxm5-80g")
    assert load_device("a100-80g").name == "a100-sxm4-80g"
    assert load_link("nvlink-2") == load_link("nvlink-2-x1")
    assert device_facts("trn1").title.startswith("AWS Trainium1")


@pytest.mark.parametrize(
    ("kind", "parts"), [("device", DEVICES), ("link", LINKS), ("cluster", SYSTEMS)]
)
def test_no_name_means_two_parts_and_all_are_lower_case(kind, parts):
    aliases = [alias for part in parts.values() for alias in part.aliases]
    known = [*parts, *aliases]
    assert len(set(known)) == len(known)
    assert dict(part_aliases(kind)).keys() == set(aliases)
    assert [name for name in known if name != name.lower() or " " in name or "_" in name] == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("v100", "v100-sxm2-16g (v100-16g) or v100-sxm2-32g (v100-32g)"),
        ("a100", "a100-sxm4-40g (a100-40g) or a100-sxm4-80g (a100-80g)"),
        ("mi250x", "mi250x-gcd"),
        ("k80", "k80-gk210"),
        ("H100 SXM", "h100-sxm5-80g (h100-sxm)"),
        ("h10", "h100-sxm5-80g (h100)"),
        ("tpu-v22", "tpu-v2"),
        ("qqq", "unknown; 111 are known"),
    ],
)
def test_an_unknown_name_gets_the_nearest_names_and_aliases(name, near):
    with pytest.raises(ProfileError) as caught:
        load_device(name)
    assert near in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.alone
def test_a_part_is_loaded_without_reading_the_others():
    part_aliases.cache_clear()
    start = time.perf_counter()
    load_device("a10")
    elapsed_s = time.perf_counter() - start
    assert part_aliases.cache_info().misses == 0  # no other file was read
    assert elapsed_s < 0.2


def test_every_part_that_a_device_names_is_a_link_of_that_rate():
    wrong = []
    for name, device in DEVICES.items():
        if device.host and device.host.part:
            link = link_facts(device.host.part)
            if link.bandwidth_gb_per_s != device.host.bandwidth_gb_per_s or link.links != 1:
                wrong.append((name, device.host.part))
        if device.scale_up and device.scale_up.part:
            link = link_facts(device.scale_up.part)
            if link.bandwidth_gb_per_s != device.scale_up.link_gb_per_s or link.links != 1:
                wrong.append((name, device.scale_up.part))
    assert wrong == []


def test_a_part_of_several_links_is_so_many_times_one():
    for name, link in LINKS.items():
        stem, _, count = name.rpartition("-x")
        if count.isdigit() and not name.startswith(("pcie", "xgmi")):
            assert link.links == int(count)
            if stem in LINKS or stem in part_aliases("link"):
                one = link_facts(stem).bandwidth_gb_per_s
                assert link.bandwidth_gb_per_s == pytest.approx(one * link.links)


def test_achievable_is_raw_times_the_measured_share_and_unknown_where_nothing_was_measured():
    assert link_facts("pcie-3-x16").achievable_gb_per_s == pytest.approx(
        12.3, abs=0.2
    )  # 12.1-12.35
    assert link_facts("nvlink-3-x12").achievable_gb_per_s == pytest.approx(274, rel=0.01)
    assert link_facts("infinity-fabric-mi300x").achievable_gb_per_s == pytest.approx(47.7, rel=0.01)
    assert link_facts("efa-v4").achievable_gb_per_s == pytest.approx(36.95, rel=0.01)
    assert link_facts("infiniband-ndr-400g").achievable_gb_per_s is None
    measured = [link for link in LINKS.values() if link.efficiency]
    assert all(link.efficiency_basis.startswith("measured: ") for link in measured)


# --- the three of the talk of 2017 ---


def test_twenty_xeon_cores_are_about_400_gflop_per_s_in_float64_without_fma():
    xeon = device_facts("xeon-e5-2660-v3")
    cores = 2 * xeon.compute.cores
    assert cores == 20
    without_fma = cores * xeon.compute.base_mhz * 1e6 * 8
    assert without_fma == pytest.approx(416e9)
    assert without_fma == pytest.approx(400e9, rel=0.05)
    # The profile's own rate is the peak with both FMA ports, twice as much.
    peak = load_device("xeon-e5-2660-v3").peak_flop_per_s
    assert 2 * peak["float64"] == pytest.approx(2 * without_fma)
    assert 400e9 / (2 * peak["float32"]) == pytest.approx(0.25, abs=0.02)
    assert "float64 without FMA  20 x 2.6 GHz x  8 FLOP/cycle =  416 GFLOP/s" in xeon.note


def test_the_v100_is_15_30_and_120_at_the_clock_of_its_announcement():
    rates = load_device("v100-sxm2-16g").peak_flop_per_s
    announced = 1455 / device_facts("v100-sxm2-16g").compute.boost_mhz
    for dtype, told in (("float32", 15), ("float16", 30), ("float16_matrix", 120)):
        assert rates[dtype] / TFLOP * announced == pytest.approx(told, rel=0.01)
        assert rates[dtype] / TFLOP == pytest.approx(told, rel=0.05)


def test_the_tpu_v2_is_45_a_chip_and_180_a_board():
    assert tflop("tpu-v2", "bfloat16") == 45
    assert 4 * tflop("tpu-v2", "bfloat16") == 180
    assert "4 x 45 = 180" in device_facts("tpu-v2").note


# --- the traps of datasheets ---


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


# --- what is not known is refused ---


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("v100-sxm2-16g", "bfloat16"),
        ("v100-sxm2-16g", "tf32"),
        ("tpu-v4", "float32"),
        ("k40", "float16"),
        ("a100-80g", "fp8"),
        ("b300", "int8"),
        ("mi355x", "tf32"),
        ("epyc-9654", "bfloat16"),
        ("gaudi-2", "float32"),
    ],
)
def test_a_dtype_without_a_published_rate_is_refused(name, dtype):
    with pytest.raises(ProfileError, match=f"in {dtype}; known dtypes: "):
        load_device(name).curve("linear_forward", dtype)


def test_where_only_products_have_a_rate_the_other_ops_compute_in_float32():
    h100 = load_device("h100")
    assert "bfloat16" not in h100.peak_flop_per_s
    assert h100.curve("tanh_forward", "bfloat16").flop_per_s == 67 * TFLOP
    assert h100.curve("linear_forward", "bfloat16").flop_per_s == 989.5 * TFLOP
    assert load_device("a100-80g").curve("tanh_forward", "bfloat16").flop_per_s == 39 * TFLOP


def test_facts_print_as_json_types():
    record = device_facts("h100").model_dump(mode="json", exclude_none=True)
    assert record["compute"]["cache_mib"] == 50
    assert DEVICES["h100-sxm5-80g"].compute.cache_bytes == 52_428_800
    assert record["price"]["date"] == "2026"
    assert link_facts("pcie-4-x16").model_dump(mode="json")["efficiency"] == 0.81

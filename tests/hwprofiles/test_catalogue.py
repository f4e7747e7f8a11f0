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
    assert len(list((DATA / "devices").glob("*.toml"))) == len(DEVICES) == 180
    assert len(list((DATA / "links").glob("*.toml"))) == len(LINKS) == 82
    assert len(list((DATA / "clusters").glob("*.toml"))) == len(SYSTEMS) == 91
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
        ("qqq", "unknown; 180 are known"),
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

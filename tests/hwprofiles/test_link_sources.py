"""The links of the catalogue beside the table they were made from."""

import re

import pytest

from hwprofiles.parts import link_facts, part_names
from tests.hwprofiles.tables import OF_PUBLISHED_RUNS, REL, rows, same

LINK_ROWS = {
    "PCIe 3.0 x16": ("pcie-3-x16",),
    "PCIe 4.0 x16": ("pcie-4-x16",),
    "PCIe 5.0 x16": ("pcie-5-x16",),
    "PCIe 6.0 x16": ("pcie-6-x16",),
    "NVLink 1 (P100)": ("nvlink-1-x4", "nvlink-1"),
    "NVLink 2 (V100)": ("nvlink-2-x6", "nvlink-2-x1", "nvlink-2-x2"),
    "NVLink 3 (A100)": ("nvlink-3-x12", "nvlink-3", "nvlink-3-x8"),
    "NVLink 4 (H100/H200)": ("nvlink-4-x18", "nvlink-4", "nvlink-4-x8"),
    "NVLink 5 (B200/GB200)": ("nvlink-5-x18", "nvlink-5"),
    "NVSwitch 1 (DGX-2)": ("nvswitch-1",),
    "NVSwitch 2 (DGX A100)": ("nvswitch-2",),
    "NVSwitch 3 (HGX H100)": ("nvswitch-3",),
    "NVSwitch 4 (B200 / NVL72)": ("nvswitch-4",),
    "NVLink-C2C (Grace to GPU)": ("nvlink-c2c",),
    "Infinity Fabric MI100": ("infinity-fabric-mi100",),
    "Infinity Fabric MI250X": (
        "infinity-fabric-mi250x",
        "infinity-fabric-mi250x-x2",
        "infinity-fabric-mi250x-x4",
    ),
    "Infinity Fabric MI300X/MI325X": ("infinity-fabric-mi300x",),
    "Infinity Fabric MI355X": ("infinity-fabric-mi355x",),
    "QPI 8.0 GT/s": ("qpi-8.0", "qpi-8.0-x2"),
    "QPI 9.6 GT/s": ("qpi-9.6", "qpi-9.6-x2"),
    "UPI 10.4 GT/s": ("upi-10.4",),
    "UPI 11.2 GT/s": ("upi-11.2",),
    "UPI 16 GT/s": ("upi-16",),
    "AMD xGMI-2 x16": ("xgmi-2-x16",),
    "AMD xGMI-3 x16": ("xgmi-3-x16",),
    "ICI TPU v2": ("ici-tpu-v2",),
    "ICI TPU v3": ("ici-tpu-v3",),
    "ICI TPU v4": ("ici-tpu-v4",),
    "ICI TPU v5e": ("ici-tpu-v5e",),
    "ICI TPU v5p": ("ici-tpu-v5p",),
    "ICI TPU v6e": ("ici-tpu-v6e",),
    "ICI TPU v7": ("ici-tpu-v7",),
    "TPU DCN (v5p)": ("dcn-tpu-v5p",),
    "NeuronLink-v2 (trn1)": ("neuronlink-v2",),
    "NeuronLink-v3 (trn2)": ("neuronlink-v3",),
    "Gaudi2 in-box RoCE": ("roce-gaudi-2", "roce-gaudi-2-x3"),
    "Gaudi3 in-box RoCE": ("roce-gaudi-3", "roce-gaudi-3-x3"),
    "1 GbE TCP": ("ethernet-1g",),
    "10 GbE TCP": ("ethernet-10g",),
    "25 GbE": ("ethernet-25g",),
    "40 GbE": ("ethernet-40g",),
    "50 GbE": ("ethernet-50g",),
    "100 GbE": ("ethernet-100g", "roce-100g"),
    "200 GbE": ("roce-200g",),
    "400 GbE": ("roce-400g",),
    "800 GbE": ("roce-800g",),
    "RoCE v2 400G (Meta Grand Teton class)": ("roce-400g-fabric",),
    "InfiniBand FDR 4x": ("infiniband-fdr-56g",),
    "InfiniBand EDR 4x": ("infiniband-edr-100g",),
    "InfiniBand HDR 4x": ("infiniband-hdr-200g",),
    "InfiniBand NDR 4x": ("infiniband-ndr-400g",),
    "InfiniBand XDR 4x": ("infiniband-xdr-800g",),
    "EFA v1 100G (p3dn, p4d per NIC)": ("efa-v1",),
    "EFA v2 100G (p5, per NIC)": ("efa-v2",),
    "EFA v3 200G (p5en, per NIC)": ("efa-v3",),
    "EFA v4 400G (p6, per NIC)": ("efa-v4",),
    "Slingshot 11 200G": ("slingshot-11",),
    "GCP GPUDirect-TCPX/TCPXO": ("gpudirect-tcpx", "gpudirect-tcpxo"),
}
DERIVED_LINKS = {
    "nvlink-3-bridge": "from the note of NVLink 3: 14.06 GB/s a link",
    "nvlink-3-bridge-x4": "from the note of NVLink 3: four links",
    "nvlink-3-x4": "from the row of NVLink 3: four of its links",
    "nvlink-4-x6": "from the row of NVLink 4: six of its links",
    "nvlink-4-x12": "from the rows of H100 PCIe and NVL",
    "nvswitch-3-h800": "from the row of HGX H800: 8 of the 18 links",
}
LINKS_LEFT_OUT = {"assumption": "an input of another simulator, not a fact"}
MEASURED_ELSEWHERE = {
    "nvswitch-1": "assumed in the table",
    "efa-v3": "measured in the note: ib_write_bw 193.7 of 200 Gb/s",
    "ethernet-40g": "measured in the note: 37.2 of 40 Gb/s",
}


def test_every_row_of_the_links_is_a_part_or_is_left_out_for_a_reason():
    table = rows("links.csv")
    left = {name for name, row in table.items() if row["kind"] in LINKS_LEFT_OUT}
    assert len(left) == 8
    assert table.keys() - left == LINK_ROWS.keys()
    shipped = {part for parts in LINK_ROWS.values() for part in parts} | DERIVED_LINKS.keys()
    assert shipped == set(part_names("link")) - OF_PUBLISHED_RUNS["link"]


def test_every_link_says_what_its_row_says():
    table = rows("links.csv")
    wrong = []
    for name, parts in LINK_ROWS.items():
        row = table[name]
        for part in parts:
            link = link_facts(part)
            if not rate_is_that_of(link, row):
                wrong.append(f"{part}.toml: bandwidth ({row['nominal_GBps_dir']})")
            share = row["achieved_efficiency"] if "measured" in row["efficiency_basis"] else ""
            if part not in MEASURED_ELSEWHERE and not same(
                link.efficiency, {"efficiency": share}, "efficiency"
            ):
                wrong.append(f"{part}.toml: efficiency ({share})")
            if not latency_is_that_of(link, row):
                wrong.append(f"{part}.toml: latency ({row['latency_oneway_us']})")
            if link.kind != row["kind"]:
                wrong.append(f"{part}.toml: kind ({row['kind']})")
    assert wrong == []


def rate_is_that_of(link, row):
    """Say whether a part's rate is its share of the row, which counts all links of a device."""
    count = re.match(r"\d+", row["lanes_or_links"])
    whole = row["kind"] != "scale-up" or count is None
    expected = float(row["nominal_GBps_dir"])
    if not whole:
        expected *= link.links / int(count[0])
    elif row["kind"] == "socket":
        expected *= link.links
    return link.bandwidth_gb_per_s == pytest.approx(expected, rel=REL)


def latency_is_that_of(link, row):
    """Say whether a latency stands in its row (of a range the low end), or is called borrowed."""
    text = row["latency_oneway_us"]
    if not text:
        return "borrowed" in link.latency_basis
    lows = [float(low) for low in re.findall(r"(?<![\d.-])(\d+(?:\.\d+)?)", text)]
    return link.latency_us in lows

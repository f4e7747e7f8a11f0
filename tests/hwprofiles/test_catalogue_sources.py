"""The catalogue beside the tables it was made from, where they lie beside the checkout."""

import csv
import os
import re
from pathlib import Path

import pytest

from hwprofiles.clusters import cluster_facts
from hwprofiles.parts import device_facts, link_facts, part_aliases, part_names
from hwprofiles.tiers import describe

TABLES = Path(__file__).parents[3] / "shared" / "hardware"
REL = 2e-3  # the tables round rates to four digits or to three decimals

DEVICE_ROWS = {
    "A100 40GB PCIe": "a100-pcie-40g",
    "A100 40GB SXM4": "a100-sxm4-40g",
    "A100 80GB PCIe": "a100-pcie-80g",
    "A100 80GB SXM4": "a100-sxm4-80g",
    "A800 80GB SXM4": "a800-sxm4-80g",
    "B200 SXM": "b200-sxm-180g",
    "B300 SXM": "b300-sxm-288g",
    "EPYC 9755 (Turin)": "epyc-9755",
    "GB200 (one GPU of two)": "gb200-186g",
    "GB300 (one GPU of two)": "gb300-288g",
    "GH200 (HBM3e 144GB)": "gh200-144g",
    "GTX Titan X (Maxwell)": "titan-x-maxwell",
    "Gaudi 2 (HL-225H)": "gaudi-2",
    "Gaudi 3 (HL-325L)": "gaudi-3",
    "Grace (one die, 72 cores)": "grace-72c",
    "Graviton3": "graviton-3",
    "Graviton4": "graviton-4",
    "H100 NVL": "h100-nvl-94g",
    "H100 PCIe": "h100-pcie-80g",
    "H100 SXM5": "h100-sxm5-80g",
    "H20": "h20-sxm5-96g",
    "H200 SXM": "h200-sxm-141g",
    "H800 SXM5": "h800-sxm5-80g",
    "K80 (one GK210 of two)": "k80-gk210",
    "M40": "m40-12g",
    "MI250X (one GCD)": "mi250x-gcd",
    "P100 PCIe 16GB": "p100-pcie-16g",
    "P100 SXM2": "p100-sxm2-16g",
    "TPU v7 (Ironwood)": "tpu-v7",
    "Titan X (Pascal)": "titan-x-pascal",
    "Trainium1": "trainium-1",
    "Trainium2": "trainium-2",
    "Trainium3": "trainium-3",
    "V100 PCIe 16GB": "v100-pcie-16g",
    "V100 SXM2 16GB": "v100-sxm2-16g",
    "V100 SXM2 32GB": "v100-sxm2-32g",
    "V100 SXM3 32GB": "v100-sxm3-32g",
    "Xeon Platinum 8480+": "xeon-platinum-8480-plus",
}
"""Rows whose name is not the part's with hyphens for blanks."""

DEVICES_LEFT_OUT = {
    "MI250X (whole OAM, 2 GCD)": "two devices to software: mi250x-gcd is one of them",
    "Gaudi (HL-205)": "no peak was ever published, so no plan could be priced",
    "Inferentia2": "made for inference",
    "Cerebras WSE-3": "its one rate may be sparse",
}
OF_PUBLISHED_RUNS = {
    "device": {
        "a10g",
        "a16",
        "a2",
        "a30",
        "a800-pcie-80g",
        "ascend-910",
        "gh200-96g",
        "gtx-1050-ti",
        "gtx-1060",
        "gtx-1070",
        "gtx-1070-ti",
        "gtx-1080",
        "gtx-1650",
        "gtx-1660",
        "gtx-1660-super",
        "gtx-1660-ti",
        "gtx-680",
        "gtx-750-ti",
        "gtx-780-ti",
        "gtx-970",
        "gtx-980",
        "gtx-980-ti",
        "gtx-titan",
        "gtx-titan-black",
        "gtx-titan-z",
        "h200-nvl-141g",
        "h800-pcie-80g",
        "k10",
        "k20",
        "k20x",
        "l20",
        "l40",
        "m40-24g",
        "m60",
        "max-1100",
        "max-1550",
        "mi210",
        "mi25",
        "mi250-gcd",
        "mi300a",
        "mi50",
        "mi60",
        "p100-pcie-12g",
        "p4",
        "p40",
        "quadro-gp100",
        "quadro-gv100",
        "quadro-k6000",
        "quadro-m6000",
        "quadro-p4000",
        "quadro-p5000",
        "quadro-p6000",
        "quadro-rtx-4000",
        "quadro-rtx-5000",
        "quadro-rtx-6000",
        "quadro-rtx-8000",
        "radeon-vii",
        "rtx-2060",
        "rtx-2060-super",
        "rtx-2070",
        "rtx-2070-super",
        "rtx-2080",
        "rtx-2080-super",
        "rtx-3050",
        "rtx-3060",
        "rtx-3060-ti",
        "rtx-3070",
        "rtx-3070-ti",
        "rtx-3080",
        "rtx-3080-ti",
        "rtx-3090-ti",
        "rtx-4000-ada",
        "rtx-4060",
        "rtx-4060-ti",
        "rtx-4070",
        "rtx-4070-super",
        "rtx-4070-ti",
        "rtx-4070-ti-super",
        "rtx-4080",
        "rtx-4080-super",
        "rtx-4090-d",
        "rtx-4500-ada",
        "rtx-5000-ada",
        "rtx-5060-ti",
        "rtx-5070",
        "rtx-5070-ti",
        "rtx-5080",
        "rtx-6000-ada",
        "rtx-a2000-12g",
        "rtx-a4000",
        "rtx-a4500",
        "rtx-a5000",
        "rtx-a5500",
        "rtx-pro-4500-blackwell",
        "rtx-pro-5000-blackwell",
        "rtx-pro-6000-blackwell",
        "rx-vega-64",
        "titan-rtx",
        "titan-v",
        "v100s-pcie-32g",
    },
    "link": {"aries", "hccs-1"},
    "cluster": {
        "a100-pcie-40g-8",
        "a100-pcie-80g-8",
        "a40-8",
        "alps-gh200",
        "atlas-900",
        "aws-g4dn-12xlarge",
        "aws-g4dn-metal",
        "aws-g5-12xlarge",
        "aws-g5-48xlarge",
        "aws-g6-12xlarge",
        "aws-g6-48xlarge",
        "aws-g6e-48xlarge",
        "aws-p2-8xlarge",
        "aws-p5e-48xlarge",
        "azure-nc24rs-v3",
        "azure-nc64as-t4-v3",
        "azure-nc80adis-h100-v5",
        "azure-nc96ads-a100-v4",
        "big-basin-p100",
        "dell-dss8440",
        "gcp-a2-megagpu-16g",
        "gcp-a2-ultragpu-8g",
        "gcp-g2-standard-96",
        "gtx-1080-ti-8",
        "h100-pcie-8",
        "k40-quad",
        "l40s-8",
        "p40-octo",
        "perlmutter",
        "piz-daint-xc50",
        "quadro-rtx-8000-8",
        "rtx-2080-ti-8",
        "rtx-3090-8",
        "rtx-4090-8",
        "rtx-a6000-8",
        "rtx-pro-6000-8",
        "t4-8",
        "v100-pcie-16g-8",
    },
}
"""Parts that published runs name, beside those of the tables."""
PEAKS = {
    "tflops_fp64": "float64_tflop_per_s",
    "tflops_fp64_matrix": "float64_matrix_tflop_per_s",
    "tflops_fp32": "float32_tflop_per_s",
    "tflops_tf32_or_fp32_matrix": "tf32_matrix_tflop_per_s",
    "tflops_fp16_vector": "float16_tflop_per_s",
    "tflops_fp16_matrix": "float16_matrix_tflop_per_s",
    "tflops_bf16_matrix": "bfloat16_matrix_tflop_per_s",
    "tflops_fp8": "fp8_matrix_tflop_per_s",
    "tops_int8": "int8_matrix_top_per_s",
    "tflops_fp4": "fp4_matrix_tflop_per_s",
}
FP32_MATRIX = ("mi100", "mi250x-gcd")
UNSOURCED_BF16 = ("epyc-9654", "epyc-9755", "grace-72c", "graviton-3", "graviton-4")
"""The table says of these rates that no source gives them: they are not shipped."""

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


def rows(name):
    """Return the rows of a table by name; without the tables there is nothing to compare."""
    path = TABLES / name
    if not path.exists():
        reason = f"{path} is not there: the tables lie beside the checkout where they are at hand"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def part_of(row):
    return DEVICE_ROWS.get(row) or row.lower().replace(" ", "-")


def same(told, row, column):
    """Say whether a value of ours is that of the table, or is missing in both."""
    text = row[column]
    if told is None or not text:
        return told is None and not text
    return told == pytest.approx(float(text), rel=REL)


def test_every_row_of_the_devices_is_a_part_or_is_left_out_for_a_reason():
    table = rows("devices.csv")
    assert DEVICES_LEFT_OUT.keys() <= table.keys()
    shipped = {part_of(row) for row in table.keys() - DEVICES_LEFT_OUT.keys()}
    assert shipped == set(part_names("device")) - OF_PUBLISHED_RUNS["device"]


def test_every_device_says_what_its_row_says():
    wrong = []
    for name, row in rows("devices.csv").items():
        if name in DEVICES_LEFT_OUT:
            continue
        part = part_of(name)
        device = device_facts(part)
        told = told_of(device)
        checks = {column: same(value, row, column) for column, value in told.items()}
        if rates_of(device.peak) != pytest.approx(peaks_of(part, row), rel=REL):
            wrong.append(f"{part}.toml: peak ({peaks_of(part, row)})")
        checks["mem_GB_nominal"] = memory_is_the_label(device, row)
        checks["year"] = str(device.year) == row["year"]
        checks["kind"] = device.kind == row["kind"].replace("npu", "tpu")
        wrong += [
            f"{part}.toml: {column} ({row[column]})" for column, ok in checks.items() if not ok
        ]
    assert wrong == []


def told_of(device):
    compute, memory, host, peers = device.compute, device.memory, device.host, device.scale_up
    return {
        "cores": compute.cores,
        "alus": compute.lanes,
        "base_mhz": compute.base_mhz,
        "boost_mhz": compute.boost_mhz,
        "simd_base_mhz": compute.simd_base_mhz,
        "llc_MB": compute.cache_mib,
        "mem_channels": memory.channels,
        "mem_visible_bytes": memory.capacity_bytes,
        "mem_GBps": memory.bandwidth_gb_per_s,
        "host_GBps_dir": host.bandwidth_gb_per_s,
        "scaleup_links": peers.links if peers else None,
        "scaleup_GBps_per_link_dir": peers.link_gb_per_s if peers else None,
        "scaleup_GBps_dir": peers.total_gb_per_s if peers else None,
        "tdp_W": device.power.board_w if device.power else None,
        "price_usd_h": device.price.usd_per_h if device.price else None,
    }


def peaks_of(part, row):
    """Return the rates a part should have, by key, and no other."""
    expected = {key: float(row[column]) for column, key in PEAKS.items() if row[column]}
    if part in UNSOURCED_BF16:
        del expected["bfloat16_matrix_tflop_per_s"]
    if part in FP32_MATRIX:
        expected["float32_matrix_tflop_per_s"] = expected.pop("tf32_matrix_tflop_per_s")
    if part == "titan-x-pascal":  # it has no matrix unit: a dot product of four
        expected["int8_top_per_s"] = expected.pop("int8_matrix_top_per_s")
    if part.startswith(("a100", "a800")):  # from the note of one A100
        expected["bfloat16_tflop_per_s"] = 39
    if part.startswith(("tpu", "trainium", "gaudi")):  # no vector rate is known
        expected = {key.replace("_matrix", ""): rate for key, rate in expected.items()}
    return expected


def rates_of(peak):
    told = peak.model_dump(exclude_none=True)
    return {key: rate for key, rate in told.items() if key.endswith("op_per_s")}


def memory_is_the_label(device, row):
    """Say whether memory lies between the label read as decimal and as binary."""
    if device.kind == "cpu" or (row["mem_visible_bytes"] and device.memory.capacity_bytes):
        return True  # a CPU has no label; visible bytes are compared as they are
    label = float(row["mem_GB_nominal"])
    return label * 10**9 <= device.memory.total_bytes <= label * 2**30


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


def test_aliases_are_not_rows_under_another_name():
    table = {part_of(row) for row in rows("devices.csv")}
    assert not set(part_aliases("device")) & table - set(part_names("device"))


SYSTEM_ROWS = {
    "DGX-1 (P100)": ("dgx-1-p100",),
    "DGX-1 (V100)": ("dgx-1-v100",),
    "DGX A100 (80/40)": ("dgx-a100-80g", "dgx-a100-40g"),
    "HGX H800 8-way": ("hgx-h800",),
    "GCP a4x (GB200 NVL72)": ("gcp-a4x",),
    "Meta Llama 3 24k (RoCE)": ("meta-24k-roce",),
    "Meta Llama 3 24k (InfiniBand)": ("meta-24k-infiniband",),
    "MI300X 8-way OAM (Dell XE9680 class)": ("mi300x-8",),
    "MI355X 8-way OAM": ("mi355x-8",),
    "Gaudi2 HLS-2": ("gaudi-2-8",),
    "Gaudi3 HLS-3": ("gaudi-3-8",),
}
"""Rows whose name is not the system's with hyphens for blanks and dots."""
PARTS_OF_SYSTEMS = ("v100-quad", "tpu-v2-board", "dual-xeon-e5-2660-v3")
"""Small clusters of our own, in no row."""


def systems_of(row):
    plain = row.lower().replace(" pod", "").replace(" ", "-").replace(".", "-")
    return SYSTEM_ROWS.get(row) or (plain,)


def test_every_row_of_the_systems_is_a_system():
    shipped = {name for row in rows("systems.csv") for name in systems_of(row)}
    assert (
        shipped == set(part_names("cluster")) - set(PARTS_OF_SYSTEMS) - OF_PUBLISHED_RUNS["cluster"]
    )


def test_every_system_says_what_its_row_says():
    wrong = []
    for row_name, row in rows("systems.csv").items():
        for name in systems_of(row_name):
            wrong += [f"{name}.toml: {what}" for what in differences(name, row)]
    assert wrong == []


def differences(name, row):
    """Return the columns of a row that a system does not agree with."""
    spec = f"{name}:1" if "tpu" not in name else name
    system = describe(spec)
    part, tiers = system.part, {tier.name: tier for tier in system.tiers}
    trays = 18 if "nvl72" in name or name == "gcp-a4x" else 1  # a row counts one tray of a rack
    found = [] if len(system.plan.parts) == trays * int(row["devices_per_node"]) else ["devices"]
    told = row["intra_GBps_dir_per_device"]
    if told and "tpu" not in name:  # of a pod a host of four chips has only a corner
        gb_per_s = tiers["scale-up"].device_bytes_per_s / 1e9
        found += [] if gb_per_s == float(told) else [f"scale-up ({told})"]
    if row["scaleout_GBps_dir_per_device"] and "tpu" not in name:
        share = tiers["scale-out"].device_bytes_per_s / 1e9
        # the table rounds these to four digits at most
        if share != pytest.approx(float(row["scaleout_GBps_dir_per_device"]), rel=5e-3):
            found.append(f"scale-out ({row['scaleout_GBps_dir_per_device']})")
        link = str(part.network.arguments["link"])
        bond = int(link.partition(" x ")[0]) if " x " in link else 1
        if "gaudi" not in name:  # whose ports are on the devices, three a link
            nics = tiers["scale-out"].ports * bond
            if nics != trays * int(row["nics_per_node"]):
                found.append(f"NICs ({row['nics_per_node']})")
    host = part.host
    if host and name != "dgx-a100-40g":
        checks = {"cores_or_vcpus": host.cores, "host_mem_GB": host.memory_gb}
        if trays == 1:
            found += [
                key for key, value in checks.items() if row[key] and not same(value, row, key)
            ]
    price = part.price.usd_per_h if part.price else None
    found += [] if same(price, row, "price_usd_h") else ["price"]
    found += [] if str(part.year) == row["year"] else ["year"]
    return found


def test_a_low_price_of_the_table_is_low_here_and_has_a_date():
    for row_name, row in rows("systems.csv").items():
        for name in systems_of(row_name):
            if price := cluster_facts(name).price:
                assert price.date
                assert (price.confidence == "low") == ("low" in row["price_note"])

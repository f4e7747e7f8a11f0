"""The devices of the catalogue beside the table they were made from."""

import pytest

from hwprofiles.parts import device_facts, part_aliases, part_names
from tests.hwprofiles.tables import OF_PUBLISHED_RUNS, REL, rows, same

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


def part_of(row):
    return DEVICE_ROWS.get(row) or row.lower().replace(" ", "-")


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


def test_aliases_are_not_rows_under_another_name():
    table = {part_of(row) for row in rows("devices.csv")}
    assert not set(part_aliases("device")) & table - set(part_names("device"))

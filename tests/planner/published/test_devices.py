"""Spelling leads to the same device: case, blanks, hyphens and vendors make no other of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.parts import part_names
from planner.published import devices
from planner.published.devices import device_of

NAMES = {
    "A100 SXM 80GB": "a100-sxm4-80g",
    "A100 PCIE 40GB": "a100-pcie-40g",
    "V100 PCIE 16GB": "v100-pcie-16g",
    "V100 SXM2 32GB": "v100-sxm2-32g",
    "V100S PCIe 32GB": "v100s-pcie-32g",
    "H100 80GB HBM3": "h100-sxm5-80g",
    "H100 PCIe": "h100-pcie-80g",
    "H200 SXM 141GB": "h200-sxm-141g",
    "GTX 1080Ti": "gtx-1080-ti",
    "GTX 1080": "gtx-1080",
    "RTX 2080Ti": "rtx-2080-ti",
    "RTX 2080": "rtx-2080",
    "RTX 3090": "rtx-3090",
    "RTX 6000 Ada Generation": "rtx-6000-ada",
    "RTX 6000": "quadro-rtx-6000",
    "RTX A6000": "rtx-a6000",
    "A40": "a40",
    "A4000": "rtx-a4000",
    "L40S 48GB": "l40s",
    "L4": "l4",
    "TITAN RTX": "titan-rtx",
    "TITAN V": "titan-v",
    "TITAN Xp": "titan-x-pascal",
    "GTX TITAN X": "titan-x-maxwell",
    "GTX TITAN Black": "gtx-titan-black",
    "GTX TITAN": "gtx-titan",
    "P100 PCIE": "p100-pcie-16g",
    "K80 (half)": "k80-gk210",
    "K40m": "k40",
    "K20Xm": "k20x",
    "MI250X": "mi250x-gcd",
    "MI250": "mi250-gcd",
    "TPU v3 8": "tpu-v3",
    "Xeon Platinum 8180 @ 2.50 GHz": "xeon-platinum-8180",
    "Xeon E5 2690 v3": "xeon-e5-2690-v3",
    "EPYC 7742": "epyc-7742",
    "A10G": "a10g",
    "L40": "l40",
    "P4": "p4",
    "MI210": "mi210",
    "MI300A": "mi300a",
    "A16": "a16",
    "M40 24GB": "m40-24g",
    "GH200 480GB": "gh200-96g",
    "GH200 144G HBM3e": "gh200-144g",
    "A800 PCIe 80GB": "a800-pcie-80g",
    "H200 NVL": "h200-nvl-141g",
    "RTX 2080 SUPER": "rtx-2080-super",
    "RTX 4070 Ti SUPER": "rtx-4070-ti-super",
    "RTX 5000": "quadro-rtx-5000",
    "RTX 5000 Ada Generation": "rtx-5000-ada",
    "RTX PRO 6000 Blackwell": "rtx-pro-6000-blackwell",
}
MADE = st.sampled_from(
    ["", "NVIDIA ", "Nvidia Tesla ", "nvidia-geforce-", "Tesla", "AMD Instinct "]
)
BETWEEN = st.sampled_from([" ", "-", "_", "  "])


@st.composite
def spellings(draw):
    """Return a name, and another spelling of it; only letters and digits may run together."""
    name = draw(st.sampled_from(list(NAMES)))
    parts = re.findall("[A-Za-z]+|[0-9]+", name)
    told = parts[0]
    for part in parts[1:]:
        can_touch = told[-1].isdigit() != part[0].isdigit()
        told += draw(BETWEEN | st.just("") if can_touch else BETWEEN) + part
    vendor = draw(MADE)
    glue = "" if not vendor or not vendor[-1].isalpha() else " "
    turned = draw(st.sampled_from([str.lower, str.upper, str.title, str]))
    return name, turned(vendor + glue + told)


@given(spellings())
def test_case_blanks_hyphens_and_vendors_make_no_other_device(spelling):
    name, told = spelling
    assert device_of(told) == NAMES[name]


@pytest.mark.parametrize(
    "told",
    [
        "A10M",  # other than an A10
        "RTX 4000 SFF Ada",
        "RTX 3080 Laptop GPU",
        "Xeon",
        "Pascal GPU (model not stated)",
        "not stated with the profile (paper clusters: V100, Titan X)",
        "",
    ],
)
def test_what_is_another_device_or_none_is_no_device(told):
    assert device_of(told) is None


@pytest.mark.parametrize(
    ("told", "device"),
    [
        ("g5.48xlarge", "a10g"),
        ("A10G (g5)", "a10g"),
        ("g6e.12xlarge", "l40s"),
        ("p5en.48xlarge", "h200-sxm-141g"),
        ("a2-highgpu-8g", "a100-sxm4-40g"),
        ("a3-megagpu-8g", "h100-sxm5-80g"),
        ("Standard_ND96amsr_A100_v4", "a100-sxm4-80g"),
        ("Standard_NC24ads_A100_v4", "a100-pcie-80g"),
        ("Standard_NC24rs_v3", "v100-pcie-16g"),
        ("GH200 120GB", "gh200-96g"),  # of the CPU
        ("HL-225", "gaudi-2"),
    ],
)
def test_an_instance_or_a_board_stands_for_the_device_in_it(told, device):
    assert device_of(told) == device


def test_every_device_is_known_by_its_own_name():
    assert {name: device_of(name) for name in part_names("device")} == {
        name: name for name in part_names("device")
    }


def test_a_word_behind_that_is_not_looked_at_is_seen(monkeypatch):
    table = devices.names()
    loose = {**table, "devices": {**table["devices"], "apart": []}}
    monkeypatch.setattr(devices, "names", lambda: loose)
    assert device_of("A10M") == "a10"

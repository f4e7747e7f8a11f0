"""The systems of the catalogue beside the table they were made from."""

import pytest

from hwprofiles.clusters import cluster_facts
from hwprofiles.parts import part_names
from hwprofiles.tiers import describe
from tests.hwprofiles.tables import OF_PUBLISHED_RUNS, rows, same

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

"""Published collectives: what a row says is read, what it measured is not, and errors hold."""

import csv
import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwprofiles.errors import RecordError
from hwprofiles.transport import shipped
from planner.published import collective_cases, collective_rows, toml_text
from planner.published.collective_assess import collective_summaries, hold
from planner.published.collective_cases import Unstated, express
from planner.published.collective_fit import constants_of, fitted, samples
from planner.published.collective_page import constants_section, note, worst
from planner.published.collective_rows import (
    LABELS,
    RESULTS,
    SMALL,
    CollectiveRow,
    is_collectives,
    read_collectives,
)
from planner.published.collective_terms import Known, terms_of
from planner.published.names import Unsaid
from planner.published.rows import SMALL as TRAINING

TABLE = Path(__file__).parents[4] / "shared" / "validation" / "collectives.csv"
ROWS = read_collectives(SMALL)
beside = pytest.mark.skipif(not TABLE.exists(), reason="the table does not lie beside the checkout")


def told(**columns):
    """A row of one call on two nodes, with some columns changed."""
    start = {
        "system": "p5.48xlarge (8x H100 80GB)",
        "nodes": "2",
        "devices": "16",
        "intra_link": "NVLink4/NVSwitch",
        "inter_link": "EFA 32x100Gbps (3200 Gbps)",
        "collective": "all_reduce",
        "bytes": "1073741824",
    }
    return {**start, **columns}


# Reading


def test_tables_are_told_by_their_columns(tmp_path):
    assert is_collectives(SMALL)
    assert not is_collectives(TRAINING)
    assert not is_collectives(tmp_path / "none.csv")


def test_a_time_is_printed_or_follows_from_a_bandwidth(tmp_path):
    head = "case_id,source,system,devices,collective,bytes,time_us,algbw_gbps,busbw_gbps\n"
    rows = ("8,all_reduce,1000000,7.5,,", "8,all_reduce,1000000,,100,", "8,all_gather,1000000,,,70")
    path = tmp_path / "t.csv"
    path.write_text(head + "".join(f"{i},s,x,{row}\n" for i, row in enumerate(rows)))
    found = [row.time_s for row in read_collectives(path)]
    assert found == pytest.approx([7.5e-6, 1e-5, 1e6 * 7 / 8 / 70e9])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case_id,source\n", r"none called algbw_gbps, .* add them"),
        (
            "case_id,source,system,devices,collective,bytes,time_us,algbw_gbps,busbw_gbps\n"
            "a,s,x,8,all_reduce,8,fast,,\n",
            r"line 2: time_us: expected a number, got 'fast'; correct it",
        ),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(RecordError, match=message):
        read_collectives(path)


COMPOSED = [
    ({}, "nvlink-4 efa", 400e9, 2),
    ({"system": "p4de.24xlarge", "inter_link": "EFA 4x100Gbps"}, "nvlink-3 efa", 50e9, 2),
    ({"system": "8x A100 80GB", "inter_link": "RoCE 16x100Gbps"}, "nvlink-3 roce", 200e9, 2),
    ({"system": "8x A100 80GB", "inter_link": "RoCE 1600 Gbps"}, "nvlink-3 roce", 200e9, 2),
    ({"system": "HGX H100", "inter_link": "NDR InfiniBand"}, "nvlink-4 infiniband", 400e9, 2),
    ({"system": "a3-megagpu-8g", "inter_link": "TCPXO 8x200Gbps"}, "nvlink-4 tcpxo", 200e9, 2),
    ({"system": "MI300X x8", "inter_link": "RoCE"}, "infinity-fabric roce", 400e9, 2),
    (
        {"system": "GB200", "nodes": "36", "devices": "144", "inter_link": "NDR 4x400Gbps"},
        "nvlink-5 infiniband",
        72 * 50e9,
        2,
    ),
    ({"system": "GB200", "nodes": "18", "devices": "72", "inter_link": "n/a"}, "nvlink-5", 0, 1),
    ({"nodes": "6", "devices": "64"}, "nvlink-4 efa", 400e9, 8),
    (
        {"system": "JUWELS (A100)", "devices": "8", "inter_link": "4x HDR"},
        "nvlink-3 infiniband",
        100e9,
        2,
    ),
    (
        {"system": "a node (4x A100)", "devices": "8", "inter_link": "HDR100 x4"},
        "nvlink-3 infiniband",
        50e9,
        2,
    ),
    (
        {"system": "8x A100 80GB", "devices": "4", "inter_link": "4x HDR"},
        "nvlink-3 infiniband",
        25e9,
        2,
    ),
    ({"system": "A800", "inter_link": "RoCE 4x200G"}, "nvlink-3 roce", 100e9, 2),
    (
        {"system": "V100", "nodes": "16", "intra_link": "n/a", "inter_link": "25GbE"},
        "ethernet",
        3.125e9,
        16,
    ),
    (
        {"system": "trn1.32xlarge", "intra_link": "NeuronLink", "inter_link": "EFA 8x100G"},
        "neuronlink efa",
        100e9,
        2,
    ),
    ({"system": "p5en.48xlarge", "inter_link": "EFA"}, "nvlink-4 efa-3", 400e9, 2),
    ({"system": "p5en.48xlarge", "inter_link": "EFA v3 16x200Gbps"}, "nvlink-4 efa-3", 400e9, 2),
    ({"system": "p6-b200.48xlarge", "inter_link": "EFA 8x400Gbps"}, "nvlink-5 efa-3", 400e9, 2),
    ({"system": "p4d.24xlarge", "inter_link": "EFA 4x100Gbps"}, "nvlink-3 efa", 50e9, 2),
    (
        {"system": "ND40rs_v2", "inter_link": "InfiniBand"},
        "nvlink-2 infiniband-edr",
        12.5e9,
        2,
    ),
    ({"system": "HGX H100", "inter_link": "Ethernet 400 Gb/s x8"}, "nvlink-4 roce", 400e9, 2),
    ({"system": "HGX H100", "inter_link": "8x400GbE (TCP)"}, "nvlink-4 ethernet", 400e9, 2),
    (
        {"system": "Summit, 6x V100", "devices": "12", "inter_link": "2x EDR"},
        "nvlink-2 infiniband-edr",
        25e9,
        2,
    ),
    (
        {"system": "V100 PCIe", "intra_link": "PCIe", "inter_link": "EDR"},
        "pcie infiniband-edr",
        12.5e9,
        2,
    ),
    (
        {"system": "Perlmutter", "devices": "8", "inter_link": "Slingshot 11"},
        "nvlink-3 slingshot",
        100e9,
        2,
    ),
    (
        {"system": "GH200 (Alps)", "devices": "8", "inter_link": "Slingshot"},
        "nvlink-4 slingshot",
        100e9,
        2,
    ),
    (
        {"system": "g5.48xlarge", "intra_link": "PCIe", "inter_link": "ENA"},
        "pcie ethernet",
        12.5e9,
        2,
    ),
    ({"system": "Lambda H100", "inter_link": "8x Broadcom Thor2 400G"}, "nvlink-4 roce", 400e9, 2),
]


@pytest.mark.parametrize(("columns", "stacks", "between", "domains"), COMPOSED)
def test_a_system_is_the_links_that_a_row_names(columns, stacks, between, domains):
    case = express(told(**columns))
    assert " ".join(case.stacks) == stacks
    assert case.group.domains == domains
    if between:
        assert case.group.between.bytes_per_s == pytest.approx(between)


def one_row(**columns):
    return CollectiveRow(case_id="a", source="s", told=told(**columns), flagged=False, time_s=1e-3)


def test_a_stack_that_no_row_went_through_is_wide_and_graded_by_its_links():
    known, *unseen = (
        one.assessed
        for one in hold(
            [one_row(inter_link=link) for link in ("RoCE 8x400G", "Slingshot-11 x8", "8x100GbE")]
        )
    )
    assert known.grade == "fitted"
    for one in unseen:
        assert (one.covered, one.grade) == (True, "datasheet")
        assert one.interval_s[1] / one.predicted > known.interval_s[1] / known.predicted


def test_bridges_join_two():
    bridged = {"system": "A100 PCIe", "intra_link": "NVLink bridge", "nodes": "1"}
    assert express(told(**bridged, devices="2")).stacks == ("nvlink-3",)
    assert express(told(**bridged, devices="4")).stacks == ("pcie",)


@pytest.mark.parametrize(
    ("system", "inside", "devices", "stack", "gb_per_s"),
    [
        ("2x RTX 3090", "NVLink", 2, "nvlink-3", 56.25),
        ("2x RTX 3090", "PCIe (no NVLink)", 2, "host-memory", 31.5),
        ("4x RTX 3090", "NVLink bridges (pairs)", 4, "host-memory", 31.5),
        ("RTX 4090", "PCIe Gen4", 8, "host-memory", 31.5),
        ("8x GTX 1080 Ti", "PCIe 3.0 x16", 8, "pcie", 15.75),
        ("RTX A6000", "PCIe, P2P disabled", 4, "host-memory", 31.5),
        ("2x Quadro RTX 8000", "NVLink bridge", 2, "nvlink-2", 50),
        ("4x H200 NVL", "NVLink 4-way bridge", 4, "nvlink-4", 450),
        ("8x H20", "NVLink", 8, "nvlink-4", 450),
        ("8x A100", "NV12", 8, "nvlink-3", 300),
        ("MI210 x4", "xGMI bridge", 4, "infinity-fabric", 138),
        ("MI300A", "Infinity Fabric", 4, "infinity-fabric", 384),
    ],
)
def test_cards_are_joined_by_what_they_can_use(system, inside, devices, stack, gb_per_s):
    """GeForce cards from Turing on reach each other through the host's memory, but by NVLink."""
    case = express(told(system=system, intra_link=inside, devices=str(devices), nodes="1"))
    assert case.stacks == (stack,)
    assert case.group.inside.bytes_per_s == pytest.approx(gb_per_s * 1e9)


def test_an_algorithm_and_a_protocol_that_were_forced_are_taken():
    node = {"nodes": "1", "devices": "8", "bytes": str(8 << 20)}
    free = express(told(**node))
    for protocol in ("LL", "ll_128", "Simple"):
        case = express(told(**node, algorithm="Ring", protocol=protocol))
        (way,) = case.ways()
        assert (way.algorithm, way.protocol) == ("ring", protocol.lower().replace("_", ""))
        assert case.predicted_s() == way.time_s(shipped()) >= free.predicted_s()
    assert express(told(algorithm="NVLS Tree")).algorithm == "nvls"
    assert len(express(told(protocol="auto")).ways()) > 1


@pytest.mark.parametrize("size", ["1G", "1GiB", "1 GiB", "1073741824.0", "1,073,741,824 B"])
@pytest.mark.parametrize("devices", ["8", "8 GPUs", "1x8"])
def test_sizes_and_counts_are_read_however_they_are_written(size, devices, tmp_path):
    head = "case_id,source,system,nodes,devices,collective,bytes,time_us,algbw_gbps,busbw_gbps\n"
    path = tmp_path / "t.csv"
    path.write_text(head + f'a,s,DGX H100,1 node,{devices},ncclAllGather,"{size}",,,350\n')
    (row,) = read_collectives(path)
    assert row.time_s == pytest.approx(2**30 * 7 / 8 / 350e9)
    assert express(row.told).payload_bytes == 2**30


def test_numbers_may_be_written_otherwise(tmp_path):
    head = "case_id,source,system,nodes,devices,collective,bytes,time_us,algbw_gbps,busbw_gbps\n"
    path = tmp_path / "t.csv"
    path.write_text(head + "a,s,DGX H100,1.0,8.0,all_reduce_perf,64 MiB,,,100\n")
    (row,) = read_collectives(path)
    assert row.time_s == pytest.approx(2**26 * 14 / 8 / 100e9)
    (found,) = hold([row])
    assert found.assessed.covered
    assert found.is_large


def test_what_is_not_stated_is_said():
    with pytest.raises(Unstated, match="inter_link is not stated"):
        express(told(inter_link=""))
    with pytest.raises(Unstated, match="intra_link is not stated"):
        express(told(system="a cluster", intra_link=""))
    with pytest.raises(Unstated, match="generation that is not stated"):
        express(told(system="Trainium", intra_link="NeuronLink"))
    with pytest.raises(Unsaid, match="devices is not stated"):
        express(told(devices=""))
    with pytest.raises(Unsaid, match="devices is 'about 64', no whole number"):
        express(told(devices="about 64"))
    with pytest.raises(Unsaid, match="inter_link 'pigeons' is not built in"):
        express(told(inter_link="pigeons"))
    with pytest.raises(Unsaid, match="a system 'abacus' with 'beads' is not built in"):
        express(told(system="abacus", intra_link="beads"))
    with pytest.raises(Unsaid, match="collective 'gossip' is not known"):
        express(told(collective="gossip"))
    assert express(told(nodes="")).assumed == {"nodes": 2}
    assert express(told(algorithm="NVLS likely (busbw>450)")).algorithm is None
    assert express(told(algorithm="Ring")).algorithm == "ring"


def test_predictions_read_no_result_and_no_label(tmp_path):
    with SMALL.open(newline="") as file:
        lines = list(csv.DictReader(file))
    path = tmp_path / "blank.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        for line in lines:
            writer.writerow({**line, **dict.fromkeys((*RESULTS, *LABELS), "")})

    def bytes_of(rows):
        return repr([(one.assessed.predicted, one.assessed.interval_s) for one in hold(rows)])

    assert bytes_of(read_collectives(path)) == bytes_of(ROWS)
    for row in ROWS:
        assert not {*RESULTS, *LABELS} & row.told.keys()


# The fit


def test_arrays_price_as_the_law_does_and_their_slopes_are_slopes():
    found, known = samples(ROWS), Known()
    terms = terms_of([sample.case.ways() for sample in found], known)
    logs = np.array(known.prior) + 0.01 * np.arange(len(known.prior))
    priced_s, slopes = terms.times_s(logs)
    by_law = [sample.case.predicted_s(constants_of(known, logs)) for sample in found]
    assert priced_s == pytest.approx(by_law, rel=1e-12)
    step = 1e-7 * np.sin(1 + np.arange(len(logs)))
    ahead = terms.times_s(logs + step)[0] - terms.times_s(logs - step)[0]
    assert ahead == pytest.approx(2 * slopes @ step, rel=1e-4, abs=1e-15)


def test_a_fit_finds_times_that_the_law_made():
    made = [replace(s, published_s=s.case.predicted_s(shipped())) for s in samples(ROWS)]
    constants = constants_of(*fitted(made, tries=2))
    errors = [abs(s.case.predicted_s(constants) / s.published_s - 1) for s in made]
    assert np.median(errors) < 0.02
    assert np.quantile(errors, 0.9) < 0.08


# Errors


def test_the_shipped_rows_are_near():
    found = collective_summaries(hold(ROWS))["overall"]
    assert found.coverage == 1
    assert found.median < 0.09
    assert found.p90 < 0.30


def test_the_page_shows_the_shipped_constants():
    page = Path(__file__).parents[3] / "docs" / "collectives.md"
    assert constants_section() in page.read_text(encoding="utf-8")


def parts_of_every_third_row():
    """A fixed third of the published table."""
    return collective_summaries(hold(read_collectives(TABLE)[::3]))


@beside
def test_a_third_of_the_published_rows_keeps_the_thresholds():
    found = parts_of_every_third_row()
    large, node = found["overall"], found["by_part"]["64 KiB and more, one node"]
    assert large.rows > 100
    assert large.coverage >= 0.95
    assert large.median <= 0.07
    assert large.mean <= 0.13
    assert large.p90 <= 0.32
    assert node.median <= 0.045
    across = found["by_part"]["64 KiB and more, several nodes"]
    assert across.mean <= 0.11
    assert across.p90 <= 0.26
    assert found["by_part"]["below 64 KiB, one node"].median <= 0.10
    assert found["fabric_not_stated"].rows > 20


@beside
def test_the_rows_farthest_off_are_explained():
    found = [one for one in hold(read_collectives(TABLE)) if one.counts and one.is_large]
    assert [one.row.case_id for one in worst(found) if not note(one.row.case_id)] == []


def test_examples_in_docstrings():
    for module in (collective_cases, collective_rows, toml_text):
        assert doctest.testmod(module).failed == 0

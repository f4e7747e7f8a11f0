"""``foreplan collective`` and ``validate`` of a table of collectives, as a person calls them."""

import json

import pytest

from foreplan.cli import main
from planner.published.collective_cases import express
from planner.published.collective_rows import SMALL


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def test_the_table_says_way_time_and_rates(capsys):
    code, out, _ = run(capsys, "collective", "all-reduce", "dgx-h100", "--bytes", "1KiB:1GiB")
    assert code == 0
    assert "ring, ll " in out
    assert "nvls, simple" in out
    assert out.splitlines()[-1] == "nvlink-4; policy best"


@pytest.mark.parametrize("policy", ["best", "nccl"])
def test_a_plan_of_a_call_and_a_published_row_have_one_time(capsys, policy):
    _, out, _ = run(
        capsys, "collective", "all-gather", "gcp-a3-ultragpu-8g:2", "--bytes", "64MiB", "--json",
        "--policy", policy,
    )  # fmt: skip
    told = {
        "system": "a3-ultragpu-8g (8x H200)",
        "nodes": "2",
        "devices": "16",
        "intra_link": "NVLink4/NVSwitch",
        "inter_link": "RoCE 8x400Gbps",
        "collective": "all_gather",
        "bytes": str(2**26),
    }
    (call,) = json.loads(out)
    assert call["time_s"] == express(told).predicted_s(policy_name=policy)


def test_a_stack_that_no_row_went_through_is_said(capsys):
    _, _, err = run(capsys, "collective", "all-reduce", "gaudi-2-8", "--bytes", "1MiB")
    assert err == "no published rows went through gaudi-roce: assumed\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["gossip", "dgx-h100"], "collective 'gossip': unknown"),
        (["all-reduce", "dgx-h100:2", "--ranks", "5"], "ranks: expected a multiple of the 2"),
        (["all-reduce", "dgx-h100", "--bytes", "1MB:1KB"], "bytes: expected a size and then"),
        (["all-reduce", "dgx-h100", "--policy", "luck"], "policy 'luck': unknown"),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, wrong, said):
    code, _, err = run(capsys, "collective", *wrong)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_validate_knows_a_table_of_collectives(capsys, tmp_path):
    path = tmp_path / "rows.json"
    code, out, _ = run(capsys, "validate", SMALL, "--json-file", path)
    assert code == 0
    assert "64 KiB and more, one node" in out
    record = json.loads(path.read_text())
    assert {row["table"] for row in record["rows"]} == {"collective"}
    assert set(record["summary"]) >= {"overall", "by_source", "by_table"}
    for row in record["rows"]:
        assert row["error"] == pytest.approx(row["predicted"] / row["published"] - 1)

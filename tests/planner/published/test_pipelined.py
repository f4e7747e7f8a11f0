"""Published pipelines: the layout from its columns, and nothing counted whose layout is guessed."""

import csv
import re
from dataclasses import replace

import pytest

from planner.model import load_model
from planner.published.assess import assess
from planner.published.cases import express
from planner.published.names import Unsaid
from planner.published.pipelined import LAYOUT, PIPELINES
from planner.published.rows import read_rows
from planner.published.summary import summaries

ROWS = read_rows(PIPELINES)
SLOW = "pipeline-2$|resnet-101-pipeline-[48]|n4m|n[28]m4"
QUICK = [row for row in ROWS if not re.search(SLOW, row.case_id)]
"""Every second row, without those of hundreds of microbatches."""


@pytest.fixture(scope="module")
def found():
    return assess(QUICK)


def test_stated_pipelines_hold_the_floors_of_published_runs(found):
    overall = summaries(found)["overall"]
    assert overall.coverage == 1
    assert overall.median <= 0.10
    assert overall.mean <= 0.15
    assert overall.p90 <= 0.33
    assert overall.concordance >= 0.9


def test_a_layout_that_is_guessed_is_predicted_and_not_counted(found):
    blank = [replace(row, told={**row.told, **dict.fromkeys(LAYOUT, "")}) for row in QUICK]
    several = [i for i, row in enumerate(QUICK) if "pipeline" in row.told["comm_method"]]
    guessed = assess([blank[several[1]], blank[several[-1]]])
    for row in guessed:
        assert row.predicted
        assert not row.covered
        assert not row.layout_stated
        assert set(row.assumed) >= {"micro_batches"}
        assert row.reason.startswith("a layout that is not stated (micro_batches")
    assert summaries(guessed)["overall"].median is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case_id)
def test_stages_begin_where_the_published_ones_do(row):
    """Of AmoebaNet-D at cells; of the others the number of modules is the one in the notes."""
    if balance := row.told["layer_balance"]:
        layers = load_model(express(row.told).model).layers
        sizes = list(map(int, balance.split("|")))
        assert sum(sizes) == len(layers)
        assert len(sizes) == int(row.told["n_devices"])
        if row.told["model"].startswith("AmoebaNet"):
            for first in (sum(sizes[:at]) for at in range(1, len(sizes))):
                cell, before = (layers[i].name.split(".")[0] for i in (first, first - 1))
                assert cell != before


def test_a_prediction_reads_no_result_no_note_and_no_name(found, tmp_path):
    with PIPELINES.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    hidden = ("case_id", "source", "notes", "samples_per_s", "url")
    path = tmp_path / "blank.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows({**line, **dict.fromkeys(hidden, "")} for line in lines)
    told = {row.case_id: row.predicted for row in found if "u-net" in row.case_id}
    again = [r for r, line in zip(read_rows(path), lines, strict=True) if line["case_id"] in told]
    assert [row.predicted for row in assess(again)] == list(told.values())


@pytest.mark.parametrize(
    "wrong", [{"micro_batches": "few"}, {"layer_balance": "3|4|5"}, {"layer_balance": "half"}]
)
def test_a_layout_that_cannot_be_says_so(wrong):
    told = next(row.told for row in ROWS if row.told["n_devices"] == "2")
    with pytest.raises(Unsaid, match="micro_batches is no whole number, or layer_balance no list"):
        express({**told, **wrong})

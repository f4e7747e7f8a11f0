"""Whatever stands in the cells of a row, it is predicted or refused with a reason."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.published import collective_cases
from planner.published.assess import assess
from planner.published.collective_assess import hold
from planner.published.collective_rows import SMALL as COLLECTIVES
from planner.published.collective_rows import read_collectives
from planner.published.rows import SMALL as RUNS
from planner.published.rows import read_rows

NUMBERS = ["", "0", "-1", "3.7", "1e400", "nan", "inf", "1 2", "8/8", "9" * 21, "1000000", "2^30"]
WORDS = ["n/a", "??", "8x0Gb/s", "x8", "EFA", "RoCE", "NVLink", "PCIe", "ICI", "GB200", "tpu v3"]
WORDS += ["seq 99999999", "0x0", "99999x99999", "alltoall", "NVLS", "LL", "int8", "gaudi2"]
KEPT = ("case_id", "source")
READERS = {
    COLLECTIVES: lambda path: [one.assessed for one in hold(read_collectives(path))],
    RUNS: lambda path: assess(read_rows(path)),
}


def lines(table):
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def judged(table, changed, path):
    """Assess a row with some cells changed, behind one that is whole."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(changed))
        writer.writeheader()
        writer.writerows([{**lines(table)[0], "case_id": "whole"}, changed])
    return READERS[table](path)


@settings(max_examples=60, deadline=None)  # the first row reads what is shipped
@given(data=st.data(), table=st.sampled_from([COLLECTIVES, RUNS]))
def test_a_row_is_predicted_or_refused_and_leaves_the_others(data, table, tmp_path_factory):
    row = dict(data.draw(st.sampled_from(lines(table))))
    columns = data.draw(st.lists(st.sampled_from(sorted({*row} - {*KEPT})), min_size=1, max_size=3))
    for column in columns:
        row[column] = data.draw(st.sampled_from(NUMBERS + WORDS))
    whole, junk = judged(table, row, tmp_path_factory.getbasetemp() / "junk.csv")
    assert whole.covered
    assert junk.covered or junk.reason or junk.assumed
    assert junk.predicted is None or 0 < junk.interval_s[0] < junk.predicted < junk.interval_s[1]


def test_a_reader_that_fails_on_one_cell_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(collective_cases, "operation_of", lambda told: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        judged(COLLECTIVES, dict(lines(COLLECTIVES)[0]), tmp_path / "junk.csv")

"""What rows measured: read in the units that people write; one that cannot be read stands alone."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.errors import RecordError, UnitError
from planner.published import results
from planner.published.collective_assess import hold
from planner.published.collective_rows import read_collectives
from planner.published.results import measured
from planner.published.rows import read_rows

COLLECTIVES = "case_id,source,system,nodes,devices,intra_link,collective,bytes,time_us,algbw_gbps,"
COLLECTIVES += "busbw_gbps\n"
CALL = "{},me,DGX H100,1,8,NVLink4,all_reduce,1G,{},,\n"
RUNS = "case_id,source,model,accelerator,n_devices,framework,step_ms\n"
RUN = "{},me,ResNet-50,V100 16GB,1,PyTorch 1.8,{}\n"


def table(tmp_path, head, line, told):
    path = tmp_path / "rows.csv"
    path.write_text(head + "".join(line.format(i, text) for i, text in enumerate(told)))
    return path


def test_a_result_that_is_no_number_makes_its_own_row_unread(tmp_path):
    calls = hold(read_collectives(table(tmp_path, COLLECTIVES, CALL, ("4200", "fast", "4.2 ms"))))
    one, misread, other = (call.assessed for call in calls)
    assert one.published == other.published == pytest.approx(4.2e-3)
    assert one.covered
    assert other.covered
    assert not misread.covered
    assert "line 3: time_us: expected a number, got 'fast'" in misread.reason
    runs = read_rows(table(tmp_path, RUNS, RUN, ("n. a.", "250", "0.25 s", "250 +/- 4 ms")))
    assert [run.whole_s for run in runs] == [None, *[pytest.approx(0.25)] * 3]
    assert "line 2: step_ms: expected a number, got 'n. a.'" in runs[0].misread


@pytest.mark.parametrize(
    ("read", "head", "line"), [(read_collectives, COLLECTIVES, CALL), (read_rows, RUNS, RUN)]
)
def test_a_table_without_a_row_that_is_read_is_refused(tmp_path, read, head, line):
    with pytest.raises(RecordError, match=r"line 2: .*expected a number, got 'fast'; correct it"):
        read(table(tmp_path, head, line, ("fast", "slow")))


UNITS = {
    "time_us": {"us": 1, " us": 1, "\u00b5s": 1, "ms": 1e3, " s": 1e6, "ns": 1e-3, "": 1},
    "step_ms": {"ms": 1, "us": 1e-3, " sec": 1e3, "": 1},
    "busbw_gbps": {"GB/s": 1, " GBps": 1, "Gb/s": 1 / 8, " Gbps": 1 / 8, "MB/s": 1e-3, "": 1},
    "samples_per_s": {" img/s": 1, " images/sec": 1, " sequences/s": 1, "": 1},
}


@given(
    column=st.sampled_from(list(UNITS)),
    number=st.integers(1, 99_999),
    about=st.sampled_from(["", "~", "\u2248 "]),
    grouped=st.booleans(),
    data=st.data(),
)
def test_a_unit_scales_and_signs_do_not(column, number, about, grouped, data):
    unit = data.draw(st.sampled_from(list(UNITS[column])))
    text = f"{about}{number:,}{unit}" if grouped else f"{about}{number}{unit}"
    assert measured(column, text) == pytest.approx(number * UNITS[column][unit])


@pytest.mark.parametrize("text", ["fast", "5 GB/s", "1,2", "5 apples", "1e"])
def test_what_is_no_time_is_none(text):
    with pytest.raises(UnitError, match="time_us: expected a number"):
        measured("time_us", text)


def test_a_reader_that_takes_the_number_alone_is_seen(monkeypatch):
    monkeypatch.setattr(results, "COLUMN_UNITS", ())
    monkeypatch.setattr(results, "PLAIN_UNITS", "[a-zA-Z/ ]+$")
    assert measured("time_us", "2 ms") != pytest.approx(2000)


def test_examples_in_docstrings():
    assert doctest.testmod(results).failed == 0

"""Perfetto's own trace processor reads the slices and counters that were written.

Opt-in, by ``make trace-check``: ``TRACE_PROCESSOR`` names a folder with its WebAssembly build.
"""

import json
import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from reports.trace import events, write_trace
from tests.reports.cases import comparison, measured_case, piped_case
from tests.reports.test_trace import LEVELS, validate

READER = Path(__file__).with_name("trace_processor.mjs")
TROUBLE = "select name from stats where value > 0 and severity != 'info'"
DEPTH = "select max(depth) from slice"
SLICES = (
    "select process.name, thread.name, count(), sum(dur), min(dur) from slice"
    " join thread_track on track_id = thread_track.id join thread using (utid)"
    f" join process using (upid) where depth = {len(LEVELS) - 1} group by 1, 2"
)
COUNTERS = (
    "select process.name, process_counter_track.name, ts, value from counter"
    " join process_counter_track on track_id = process_counter_track.id"
    " join process using (upid) order by ts"
)


@pytest.fixture
def ask():
    """``ask(trace, query, ...)``: the rows of each query."""
    folder, node = os.environ.get("TRACE_PROCESSOR"), shutil.which("node")
    if not folder or not node:
        pytest.skip("TRACE_PROCESSOR names no folder, or Node.js is not installed")

    def run(trace, *queries):
        call = [node, str(READER), folder, str(trace), *queries]
        return json.loads(subprocess.run(call, capture_output=True, check=True).stdout)

    return run


CASES = {"measured": measured_case, "compared": lambda: comparison()[1], "fed": piped_case}


@pytest.mark.parametrize("name", CASES)
def test_slices_and_counters_are_those_that_were_written(name, ask, tmp_path):
    case = CASES[name]()
    found = list(events(case.replay, case.subject.prediction.arena_bytes))
    trouble, depth, slices, counters = ask(
        write_trace(case, tmp_path / "trace.json"), TROUBLE, DEPTH, SLICES, COUNTERS
    )
    assert trouble == []
    assert depth == [[len(LEVELS) - 1]]
    told = [event for event in found if event["ph"] == "M"]
    names = {(e["name"], e["pid"], e["tid"]): e["args"].get("name") for e in told}
    busy_us = {
        (names["process_name", pid, 0], names["thread_name", pid, tid]): us
        for (pid, tid), us in validate(found).items()
    }
    assert {(process, thread) for process, thread, *_ in slices} == set(busy_us)
    for process, thread, count, ns, least in slices:
        assert least >= 0, "a slice never ends"
        assert ns / 1e3 == pytest.approx(busy_us[process, thread], abs=count * 1e-3)
    written, read = defaultdict(list), defaultdict(list)
    for event in found:
        if event["ph"] == "C":
            (unit, value), process = *event["args"].items(), names["process_name", event["pid"], 0]
            written[process, f"{event['name']} {unit}"].append((event["ts"], value))
    for process, counter, ns, value in counters:
        read[process, counter].append((ns / 1e3, value))
    assert read.keys() == written.keys()
    for key, own in written.items():
        at_us, values = zip(*own, strict=True)
        assert [v for _, v in read[key]] == pytest.approx(list(values))
        assert [at for at, _ in read[key]] == pytest.approx(list(at_us), abs=1e-3)


@pytest.mark.parametrize("phase", ["E", "C"])
def test_the_processor_sees_an_end_that_is_missing_and_an_instant_that_is_none(
    phase, ask, tmp_path
):
    path = write_trace(measured_case(), tmp_path / "trace.json")
    whole = json.loads(path.read_text())
    last = max(i for i, event in enumerate(whole["traceEvents"]) if event["ph"] == phase)
    if phase == "E":
        del whole["traceEvents"][last]
    else:
        del whole["traceEvents"][last]["ts"]
    path.write_text(json.dumps(whole))
    open_slices, trouble = ask(path, "select name from slice where dur < 0", TROUBLE)
    assert [bool(open_slices), bool(trouble)] == [phase == "E", phase == "C"]

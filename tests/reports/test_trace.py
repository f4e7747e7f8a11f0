"""Traces: slices nest, instants ascend, counters are no less than nothing, sums are the step's."""

import gzip
import json
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from hwprofiles.errors import PlanError, RecordError
from reports.case import Case
from reports.linkuse import link_use
from reports.trace import RANKS_APART, events, write_trace
from tests.reports.cases import comparison, measured_case, piped_case, plan_file

LEVELS = ("step", "phase", "layer", "op")
STRAY_US = 1e-3
"""A nanosecond: what adding microseconds in floating point may be off."""


def validate(found):
    """Assert that a viewer can show these events; return seconds of ops by (process, track).

    Written from the description of the format alone.
    """
    tracks, counters, messages = defaultdict(list), defaultdict(list), defaultdict(list)
    named = {}
    for event in found:
        assert event["name"] if event["ph"] != "E" else True, "an event has no name"
        if event["ph"] == "M":
            named[event["name"], event["pid"], event["tid"]] = event["args"]
            continue
        assert event["ts"] >= 0, "an event is before the step"
        if event["ph"] == "C":
            counters[event["pid"], event["name"]].append(event)
        elif event["ph"] in "be":
            messages[event["pid"], event["tid"], event["id"]].append(event)
        else:
            assert event["ph"] in "BE"
            tracks[event["pid"], event["tid"]].append(event)
    busy = defaultdict(float)
    for (pid, tid), own in tracks.items():
        assert named["process_name", pid, 0]["name"]
        assert named["thread_name", pid, tid]["name"]
        assert all(a["ts"] <= b["ts"] for a, b in pairwise(own)), "instants do not ascend"
        open_slices = []
        for event in own:
            if event["ph"] == "B":
                open_slices.append(event)
                assert len(open_slices) <= len(LEVELS), "a slice is too deep"
                assert ("args" in event) == (len(open_slices) == len(LEVELS)), "an op is no leaf"
            else:
                assert open_slices, "a slice ends that has not begun"
                begun = open_slices.pop()
                if len(open_slices) == len(LEVELS) - 1:
                    busy[pid, tid] += event["ts"] - begun["ts"]
        assert not open_slices, "a slice never ends"
    for (pid, tid, _), own in messages.items():
        begin, end = own
        assert (begin["ph"], end["ph"], begin["name"]) == ("b", "e", end["name"])
        assert begin["ts"] <= end["ts"]
        busy[pid, tid] += end["ts"] - begin["ts"]
    for own in counters.values():
        assert all(a["ts"] < b["ts"] for a, b in pairwise(own)), "a counter goes back in time"
        values = [value for event in own for value in event["args"].values()]
        assert min(values) >= 0, "a counter is negative"
    return busy


def traced(case, ranks=()):
    return list(events(case.replay, case.subject.prediction.arena_bytes, ranks))


@pytest.mark.parametrize("place", range(3))
def test_ops_of_a_lane_take_as_long_as_the_lane_is_held(place):
    case = comparison()[place]
    busy = validate(traced(case))
    graph, sides = case.replay.program.graph, case.replay.sides
    for number, timeline in enumerate(sides.values()):
        held_us = timeline.lane_busy_ps(graph)[timeline.lane_busy_ps(graph) > 0] / 1e6
        found = [
            us for (pid, _), us in busy.items() if pid // RANKS_APART == number and us > STRAY_US
        ]
        assert sum(found) == pytest.approx(held_us.sum(), rel=1e-9)
        if number == 0:  # a measured lane may show its messages beside itself
            assert sorted(found) == pytest.approx(sorted(held_us), rel=1e-9)


def test_a_rank_has_no_more_tracks_than_lanes_and_two():
    case = measured_case()
    graph, ranks = case.replay.program.graph, case.replay.program.ranks
    tracks = defaultdict(set)
    for event in traced(case):
        if event["ph"] in "BEbe":
            tracks[event["pid"]].add(event["tid"])
    assert len(tracks) == 2 * ranks
    assert max(map(len, tracks.values())) <= len(graph.lane_device) // ranks + 2


def test_stages_of_the_input_have_tracks_of_the_rank_that_they_feed():
    case = piped_case()
    busy = validate(traced(case))
    graph, timeline = case.replay.program.graph, case.replay.predicted
    assert sum(busy.values()) == pytest.approx(timeline.lane_busy_ps(graph).sum() / 1e6)
    names = {e["args"]["name"] for e in traced(case) if e.get("name") == "thread_name"}
    assert {"read", "decode"} <= names
    assert {pid for pid, _ in busy} == {1 + rank for rank in range(case.replay.program.ranks)}


def test_memory_is_the_live_peak_under_the_arena():
    case = comparison()[0]
    found = traced(case)
    for rank, peak in enumerate(case.subject.prediction.live_peak_bytes):
        live, most = {}, 0
        own = [e for e in found if e["ph"] == "C" and e["pid"] == 1 + rank]
        arena = [e for e in own if e["name"] == "memory: arena"]
        for at in sorted({e["ts"] for e in own}):
            live |= {e["name"]: e["args"]["bytes"] for e in own if e["ts"] == at and e not in arena}
            most = max(most, sum(live.values()))
        assert most == peak
        assert arena[0]["args"]["bytes"] == case.subject.prediction.arena_bytes[rank]


def test_rates_of_a_link_add_up_to_what_it_carries():
    case = comparison()[1]
    replay = case.replay
    use = link_use(replay.cluster, replay.program, replay.predicted)
    pid = 1 + replay.program.ranks
    counters = defaultdict(list)
    for event in traced(case):
        if event["ph"] == "C" and event["pid"] == pid:
            counters[event["name"]].append((event["ts"], event["args"]["bytes per s"]))
    carried = [
        sum(rate * (b - a) / 1e6 for (a, rate), (b, _) in pairwise(own))
        for own in counters.values()
    ]
    assert all(own[-1][1] == 0 for own in counters.values())
    told = use.carried_bytes[use.carried_bytes > 0]
    assert sorted(carried) == pytest.approx(sorted(told.tolist()), rel=1e-6)


def test_both_sides_are_in_one_file_and_its_bytes_are_the_same_each_time(tmp_path):
    plain = write_trace(measured_case(), tmp_path / "trace.json")
    packed = write_trace(measured_case(), tmp_path / "trace.json.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert write_trace(measured_case(), tmp_path / "again.json.gz").read_bytes() == (
        packed.read_bytes()
    )
    found = json.loads(plain.read_text())["traceEvents"]
    validate(found)
    names = {e["args"]["name"] for e in found if e.get("name") == "process_name"}
    assert {"simulated: rank 0", "measured: rank 1", "simulated: links"} <= names


def test_how_far_the_writing_is_is_told_rank_by_rank_of_both_sides():
    case, told = measured_case(), []
    arena = case.subject.prediction.arena_bytes
    list(events(case.replay, arena, told=lambda *counts: told.append(counts)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_one_rank_may_be_written_alone():
    case = measured_case()
    pids = {e["pid"] for e in traced(case, [1]) if e["ph"] == "B"}
    assert pids == {2, 2 + RANKS_APART}
    with pytest.raises(PlanError, match=r"--rank 9: the plan has ranks 0 to 1"):
        write_trace(case, None, [9])


def test_messages_in_hand_while_their_rank_computes_are_a_track_beside_it():
    case = measured_case()
    timeline = case.replay.measured
    end_ps = timeline.end_ps.copy()
    sends = [i for i, info in enumerate(case.replay.program.tasks) if info.phase == "exchange"]
    end_ps[sends] += np.int64(10**7)
    early = type(timeline)(start_ps=timeline.start_ps, end_ps=end_ps)
    program = case.replay.program
    replay = type(case.replay)(
        program=program, cluster=case.replay.cluster, predicted=early, measured=None
    )
    found = list(events(replay, case.subject.prediction.arena_bytes))
    validate(found)
    assert {e["ph"] for e in found} >= {"b", "e"}


def test_a_step_that_cannot_be_simulated_again_is_one_sentence(tmp_path):
    case = Case(plans=replace(plan_file(), model="no-such-model"))
    with pytest.raises(RecordError, match=r"its step cannot be simulated again.*plan again"):
        write_trace(case, tmp_path / "trace.json")
    assert not list(tmp_path.iterdir())


FAULTS = {
    "a slice never ends": lambda e: e[: _last(e, "E")] + e[_last(e, "E") + 1 :],
    "instants do not ascend": lambda e: _changed(e, _last(e, "E"), ts=0.0),
    "a counter is negative": lambda e: _changed(e, _last(e, "C"), args={"bytes": -1}),
    "an event has no name": lambda e: _changed(e, _last(e, "B"), name=""),
    "an event is before the step": lambda e: _changed(e, _last(e, "B"), ts=-1.0),
    "a slice is too deep": lambda e: [*e[: _last(e, "B")], e[_last(e, "B")], *e[_last(e, "B") :]],
}


def _last(found, phase):
    return max(i for i, event in enumerate(found) if event["ph"] == phase)


def _changed(found, place, **fields):
    return [*found[:place], {**found[place], **fields}, *found[place + 1 :]]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validator_sees(fault):
    with pytest.raises(AssertionError, match=fault):
        validate(FAULTS[fault](traced(measured_case())))

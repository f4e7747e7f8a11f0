"""What is made of what workers say, and of what they no longer say."""

import json
import os
import socket

import pytest

from runtime.voice import PREFIX, Voice, heard
from runtime.watch import START_S, Listener, faults


def line(**facts):
    return f"{PREFIX}{json.dumps(facts)}\n"


@pytest.fixture
def seen():
    return []


@pytest.fixture
def listener(seen):
    """Two workers, of which both have said who they are at second 0; a timeout of 60 s."""
    found = Listener(2, 60.0, lambda done, total: seen.append((done, total)), now_s=0.0)
    found.hear(line(rank=0, pid=10, host="elsewhere"), 0.0)
    found.hear(line(rank=1, pid=11, host="elsewhere"), 0.0)
    return found


def beat(listener, now_s, **marks):
    for rank, count in marks.items():
        listener.hear(line(rank=int(rank[1:]), marks=count), now_s)


def test_workers_that_get_on_are_left_alone_for_ever(listener):
    for now_s in range(0, 1000, 10):
        beat(listener, now_s, r0=now_s + 1, r1=now_s + 1)
        assert listener.complaint(now_s + 5) == ""


def test_the_silent_one_is_named_not_those_that_wait_for_it(listener):
    beat(listener, 1, r0=5, r1=5)
    for now_s in range(2, 62):
        beat(listener, now_s, r1=5)
    assert listener.complaint(60.9) == ""
    said = listener.complaint(61.1)
    assert said.startswith("rank 0: expected a sign of life")
    assert "none for 60 s (process 10 on elsewhere)" in said
    assert "--timeout" in said


def test_workers_that_answer_and_get_nowhere_are_given_up_too(listener):
    for now_s in range(1, 70):
        beat(listener, now_s, r0=5, r1=5)
    assert listener.complaint(60) == ""
    assert listener.complaint(69).startswith("workers: expected progress within 60 s")


def test_one_that_gets_on_slowly_is_enough(listener):
    for now_s in range(1, 200):
        beat(listener, now_s, r0=5, r1=5 + now_s // 50)
        assert listener.complaint(now_s) == ""


def test_a_worker_that_never_spoke_has_time_to_start():
    listener = Listener(2, 1.0, lambda done, total: None, now_s=0.0)
    listener.hear(line(rank=0, pid=10, host="elsewhere"), START_S)
    assert listener.complaint(START_S - 0.1) == ""
    assert listener.complaint(START_S + 0.1).startswith("rank 1: expected a sign of life")


def test_a_stopped_process_of_this_host_is_said_to_be_one(listener):
    listener.hear(line(rank=0, pid=os.getpid(), host=socket.gethostname()), 0.0)
    said = listener.complaint(100.0)
    assert said.startswith("ranks 0, 1: ")
    assert "stopped by a signal" not in said, "this process runs"


def test_progress_is_passed_on_and_other_lines_are_not_ours(listener, seen):
    listener.hear(line(done=20, total=40), 1.0)
    assert seen == [(20, 40)]
    for other in ("Traceback (most recent call last):\n", f"{PREFIX}{{cut", f"{PREFIX}3\n"):
        with pytest.raises(ValueError):  # noqa: PT011 - the line itself is the message
            listener.hear(other, 1.0)


def test_the_lost_one_is_named_with_its_process(listener):
    said = listener.lost(1)
    assert said.startswith("rank 1: expected to run to the end, but process 11 on elsewhere was")


def test_an_error_that_explains_comes_before_a_peer_that_went_away(tmp_path):
    for rank, kind in ((0, "WorkerLost"), (1, "RecordError"), (10, "bug")):
        fault = {"kind": kind, "text": "", "rank": rank}
        (tmp_path / f"error.json.{rank}").write_text(json.dumps(fault))
    assert [fault["kind"] for fault in faults(tmp_path)] == ["RecordError", "bug", "WorkerLost"]


def test_progress_is_said_by_rank_0_at_most_ten_times_a_second_and_at_the_end():
    told = []
    voice, silent = Voice(0, told.append), Voice(1, told.append)
    for done in range(1, 5001):
        voice.at(done, 5000)
        silent.at(done, 5000)
    assert told[0] == {"done": 1, "total": 5000}
    assert told[-1] == {"done": 5000, "total": 5000}
    assert len(told) < 50
    assert voice.marks == silent.marks == 5000


def test_a_voice_says_who_it_is_and_beats_until_it_stops():
    import threading

    told, beats = [], threading.Semaphore(0)

    def tell(facts):
        told.append(facts)
        beats.release()

    voice = Voice(1, tell)
    voice.marks = 7
    voice.start(beat_s=0.01)
    for _ in range(3):
        assert beats.acquire(timeout=10)
    voice.stop()
    assert told[0] == {"rank": 1, "pid": os.getpid(), "host": socket.gethostname()}
    assert told[1] == told[2] == {"rank": 1, "marks": 7}


def test_a_line_is_read_as_it_was_said(capfd):
    from runtime.voice import tell_parent

    tell_parent({"rank": 1, "marks": 3})
    assert heard(capfd.readouterr().out) == {"rank": 1, "marks": 3}

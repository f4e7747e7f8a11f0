"""The input pipeline for real: the same training to the bit, credits, the end of its processes."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from threadpoolctl import threadpool_limits

from hwprofiles.errors import InputLost, PlanError, RecordError
from planner.calls import StepCalls
from planner.jsonable import to_jsonable
from planner.lower import lower
from planner.model import load_model
from planner.plan import Source, Training
from runtime.actors import SLEEP_S, ActorLoop, Firing
from runtime.feed import Feed
from runtime.order import Order
from runtime.packed import pack_records
from runtime.records import RecordFile
from runtime.throttle import BURST_S, Throttle
from runtime.train import train_ranks
from runtime.voice import Voice
from runtime.worker import fault_of
from tests.runtime.test_train import Alone

ALONE = Order(records=1437, batch=16, rank=0, workers=1, microbatch=16)
TRAINING = Training(batch=48, dtype="float64", learning_rate=0.1, momentum=0.9, seed=5)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A worker has one BLAS thread; more of them would only spin here."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def packed(home):
    """The digits for training, compressed."""
    target = home / "data" / "packed.rec"
    pack_records(home / "data" / "digits-train.rec", target)
    return target


@pytest.fixture(scope="module")
def job(home, plan_file, dp):
    def build(training=TRAINING, train=home / "data" / "digits-train.rec", **fields):
        return {
            "plans": to_jsonable(plan_file("mlp", training, dp(1, 16, **fields))),
            "pick": 0,
            "cores": [],
            "train": str(train),
            "test": str(home / "data" / "digits-test.rec"),
            "steps": 6,
            "warmup": 2,
            "traced": 0,
            "solo": False,
            "sentinels": False,
            "expected": {},
            "parameters": "",
        }

    return build


def train(job):
    return train_ranks(job, Alone(), Voice())


@pytest.fixture(scope="module")
def plain(job):
    return train(job())


def source_of(path, **fields):
    with RecordFile(path) as records:
        header = records.header
    return Source(encoding=header.encoding, stored_bytes=header.stored_bytes, **fields)


def test_training_is_the_same_to_the_bit(job, plain, machine, dp):
    """One slot: reader, decode worker and rank wait for each other at every microbatch.

    The arena is proved before, on steps that the pipeline then feeds again.
    """
    plan = dp(1, 16, decode_workers=1, prefetch=1)
    program = lower(load_model("mlp"), TRAINING, plan, machine.cluster(1), machine.books(1))
    asked = {"traced": 2, "solo": True, "prove": True}
    found = train(job(decode_workers=1, prefetch=1) | asked)
    assert 0 < found["beside_arena_bytes"][0] < 1 << 20
    assert found["parameters_sha256"] == plain["parameters_sha256"]
    assert found["losses"] == plain["losses"]
    copies = [t for t, info in enumerate(program.tasks) if info.phase == "load"]
    assert all(found["solo"][str(t)] > 0 for t in copies)
    assert all(found["traced"]["median_s"][t] > 0 for t in copies)
    assert min(found["traced"]["start_s"]) == 0, "what no rank runs is no time before the step"


@pytest.mark.slow
def test_it_is_the_same_from_compressed_cold_and_throttled_records(job, plain, packed):
    """Three microbatches a step, so that two workers take turns over its end."""
    source = source_of(packed, cold=True, throttle_bytes_per_s=30e3)
    training = replace(TRAINING, source=source)
    found = train(job(training, packed, decode_workers=2))
    assert found["parameters_sha256"] == plain["parameters_sha256"]
    assert found["losses"] == plain["losses"]
    facts = found["input"][0]
    reads, busy_s = facts["processes"]["reader"]
    assert reads >= 6 * 3 - 2 * 2
    assert busy_s >= 0.9 * reads * 16 * source.stored_bytes / 30e3, "the throttle holds"
    assert sum(facts["stall_s"]) > 0.5 * facts["wall_s"], "the steps wait for it"
    assert facts["bytes"]["read_bytes"] >= (reads - 1) * 16 * source.stored_bytes


def test_a_proof_on_input_that_goes_on_instead_of_beginning_anew_fails(job, monkeypatch):
    monkeypatch.setattr(Feed, "restart", lambda feed, step: None)
    with pytest.raises(PlanError, match="other bits when freed registers are poisoned"):
        train(job(decode_workers=2) | {"prove": True})


def test_a_file_that_is_stored_in_another_way_is_refused(job, packed):
    with pytest.raises(RecordError, match=r"expected raw records of 65 bytes, as planned, got"):
        train(job(train=packed, decode_workers=1))


def calls_of(plan):
    return StepCalls.of(load_model("mlp"), Training(batch=16), plan).inputs


def take(feed, firing, seconds=20.0):
    """Wait for a microbatch as a rank does."""
    end = time.monotonic() + seconds
    while not feed.arrived(firing):
        assert time.monotonic() < end
        feed.wait(firing, end - time.monotonic())


def take_all(feed, first, end):
    """Take microbatches and free them, as a rank does."""
    for firing in range(first, end):
        take(feed, firing)
        feed.free(firing)


def settle(is_so, seconds=20.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def children():
    return [p for p in psutil.Process().children() if "runtime.feeder" in p.cmdline()]


@pytest.mark.slow
def test_slots_bound_the_pipeline_and_a_killed_decode_worker_is_named(home, dp):
    plan = dp(1, 16, decode_workers=2)
    path = home / "data" / "digits-train.rec"
    with Feed(calls_of(plan), plan, Source(), path, ALONE, [], 0) as feed:
        for firing in range(2):
            take(feed, firing)
        settle(lambda: feed.counters()["reader"][0] == 8)
        counts = {name: firings for name, (firings, _) in feed.counters().items()}
        assert counts == {"reader": 8, "decode worker 0": 2, "decode worker 1": 2}
        feed.free(0)
        take(feed, 2)
        take(feed, 4)  # decoded into the slot that has come back
        assert feed.counters()["decode worker 1"][0] == 2, "its slots have not come back"
        processes = children()
        victim = feed._processes[2].running.pid
        os.kill(victim, signal.SIGKILL)
        said = rf"^rank 0: expected its decode worker 1 to run to the end, but process {victim} was"
        feed.free(2)
        feed.free(4)
        with pytest.raises(InputLost, match=said) as lost:
            take_all(feed, 3, 20)
    assert not any(process.is_running() for process in processes)
    assert fault_of(lost.value, 0)[0] == "InputLost", "which no later death explains away"
    assert InputLost.exit_code == 3


ORPHANS = """
import os, pickle, signal, sys
from runtime.feed import Feed
feed = Feed(*pickle.load(sys.stdin.buffer))
while not feed.arrived(0):
    feed.wait(0, None)
print(*[process.running.pid for process in feed._processes], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_pipeline_ends_with_the_rank_that_it_feeds(home, dp):
    plan, path = dp(1, 16, decode_workers=1), home / "data" / "digits-train.rec"
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS],
        input=pickle.dumps((calls_of(plan), plan, Source(), path, ALONE, [], 0)),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    settle(lambda: not any(map(psutil.pid_exists, pids)))


@pytest.mark.slow
def test_what_the_reader_finds_wrong_is_said_as_it_said_it(home, dp, tmp_path):
    path = tmp_path / "short.rec"
    path.write_bytes((home / "data" / "digits-train.rec").read_bytes()[:-1])
    plan = dp(1, 16, decode_workers=1)
    with (
        Feed(calls_of(plan), plan, Source(), path, ALONE, [], 0) as feed,
        pytest.raises(RecordError, match=r"short\.rec: expected .* it is damaged"),
    ):
        take(feed, 0)


class Late:
    """An arrival that is there the second time it is looked for; notes how long it may sleep."""

    def __init__(self):
        self.slept = []

    def is_there(self):
        return bool(self.slept)

    def wait(self, timeout_s):
        self.slept.append(timeout_s)


class Message:
    """A message that arrives after the late input."""

    def __init__(self, late):
        self.late = late

    def Start(self):  # noqa: N802 - MPI's own name
        pass

    def Test(self):  # noqa: N802 - MPI's own name
        return bool(self.late.slept)


@pytest.mark.parametrize(("has_message", "slept"), [(False, None), (True, SLEEP_S)])
def test_a_rank_sleeps_until_its_input_is_there(has_message, slept):
    late, fired = Late(), []
    firings = [
        Firing(priority=3, fire=None, arrival=late),
        Firing(priority=3, fire=lambda: fired.append("copy"), after=(0,)),
    ]
    firings += [Firing(priority=0, fire=None, request=Message(late))] if has_message else []
    loop = ActorLoop(firings, [], [], [], [() for _ in firings])
    loop.run()
    assert fired == ["copy"]
    assert late.slept == [slept]
    assert loop.stall_ns > 0


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds + 1e-4  # a system sleeps a little too long


def test_a_throttle_keeps_its_rate_though_sleeps_are_too_long():
    clock = Clock()
    throttle = Throttle(1e6, clock, clock.sleep)
    for _ in range(100):
        throttle.begin()
        throttle.end(10_000)
    assert clock.now == pytest.approx(1.0, abs=2 * BURST_S)


def test_a_throttle_does_not_save_up_what_is_not_read():
    clock = Clock()
    throttle = Throttle(1e6, clock, clock.sleep)
    clock.now = 50.0
    throttle.begin()
    throttle.end(10_000)
    assert clock.now >= 50.01 - BURST_S


def test_packed_records_are_the_records(packed, home):
    with RecordFile(packed) as records, RecordFile(home / "data" / "digits-train.rec") as raw:
        records.verify()
        assert records.header.sha256 == raw.header.sha256
        with pytest.raises(RecordError, match="expected raw records, got zlib ones"):
            records.read_into(0, None)

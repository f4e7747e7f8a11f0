"""One rank alone: it runs its own program, its messages last as predicted, and it is said."""

import time
from dataclasses import replace

import numpy as np
import pytest

import foreplan
from hwprofiles.errors import PlanError
from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.program import ComputeTask, TransferTask
from planner.records import write_record
from reports.case import Case
from reports.measured import verdict
from runtime.bind import bind
from runtime.execute import Options, measure
from runtime.kernels import Stream
from runtime.replay import WORDS, Replayed, StubMessage, predicted_ns

RANK = 2
TRAINING = Training(batch=64)


@pytest.fixture(scope="module")
def plans(plan_file, dp):
    return plan_file("mlp", TRAINING, dp(4, 16, "ring", 100_000, overlap=True))


@pytest.fixture(scope="module")
def program(plans):
    machine, plan = plans.to_machine(), plans.plans[0].plan
    return lower(load_model("mlp"), TRAINING, plan, machine.cluster(4), machine.books(4))


def bound(program, lasts_ns, *, holds):
    alone = Replayed(RANK)
    alone.let_last(lasts_ns, holds=holds)
    return bind(
        program,
        RANK,
        alone,
        lambda step, microbatch, raw: raw.fill(3),
        lambda step, microbatch, task: Stream(0, step, 0, 0),
    )


def test_a_message_copies_at_once_and_is_done_when_its_time_has_passed():
    source, target = np.arange(3.0), np.zeros(3)
    message = StubMessage(source, target, 300_000_000, holds=False)
    message.Start()
    assert not message.Test()
    np.testing.assert_array_equal(target, source)
    time.sleep(0.3)
    assert message.Test()


def test_a_message_that_holds_the_core_is_done_when_it_has_started():
    message = StubMessage(np.zeros(1), np.zeros(1), 2_000_000, holds=True)
    began = time.perf_counter_ns()
    message.Start()
    assert time.perf_counter_ns() - began >= 2_000_000
    assert message.Test()


def test_a_rank_runs_its_own_tasks_and_no_other(program):
    lasts = predicted_ns(program)
    assert lasts.keys() == {
        t for t, info in enumerate(program.tasks) if isinstance(info, TransferTask)
    }
    worker = bound(program, lasts, holds=True)
    worker.loop.run(traced=True)
    assert worker.tasks == program.of_rank(RANK)
    assert all(worker.loop.end_ns)
    assert worker.arena.is_intact


@pytest.mark.parametrize("holds", [True, False])
def test_a_step_waits_as_the_network_is_predicted_to_let_it(program, holds):
    """One by one where they hold the core, else at least what arrives in one landing slot."""
    each_ns = 4_000_000
    worker = bound(program, dict.fromkeys(predicted_ns(program), each_ns), holds=holds)
    worker.loop.run(traced=True)
    messages = [
        i for i, task in enumerate(worker.tasks) if isinstance(program.tasks[task], TransferTask)
    ]
    lengths = [worker.loop.end_ns[i] - worker.loop.start_ns[i] for i in messages]
    assert min(lengths) >= each_ns
    span = max(worker.loop.end_ns) - min(worker.loop.start_ns)
    assert span >= (len(messages) if holds else program.ranks - 1) * each_ns


def test_what_a_replay_measured_and_what_not_is_said(plans, home):
    options = Options(
        train=home / "data" / "digits-train.rec",
        test=home / "data" / "digits-test.rec",
        cores=(0,),
        steps=4,
        warmup=1,
        traced=2,
        replay=RANK,
    )
    found = measure(plans, 0, options)
    assert found.replay is not None
    assert (found.replay.rank, found.replay.words) == (RANK, WORDS)
    assert WORDS == "compute, memory and copies measured; network predicted"
    run = found.executions[0]
    assert run.arena_bytes == (plans.plans[0].prediction.arena_bytes[RANK],)
    assert run.arena_intact
    assert run.losses == ()
    assert run.test_accuracy is None
    machine, plan = plans.to_machine(), plans.plans[0].plan
    whole = lower(load_model("mlp"), TRAINING, plan, machine.cluster(4), machine.books(4))
    own = [t for t in whole.of_rank(RANK) if isinstance(whole.tasks[t], ComputeTask)]
    assert sum(op.firings for op in found.ops) == len(own)
    assert found.trace is not None
    assert set(found.trace.ranks) == {(RANK,)}
    (block,) = verdict((Case(plans=plans, measured=found),))
    assert f"Rank {RANK} ran alone: {WORDS}." in block.text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"replay": 4}, r"^--rank 4: plan '.*' has ranks 0 to 3; give one of them"),
        ({"replay": 0, "check": True}, "^--replay: .* leave out --check"),
        ({"replay": 0, "checkpoint_every": 2}, "^--replay: .* leave out --check"),
    ],
)
def test_what_a_replay_cannot_do_is_refused(plans, home, tmp_path, wrong, sentence):
    path = tmp_path / "plan.json"
    write_record(path, replace(plans))
    with pytest.raises(PlanError, match=sentence):
        foreplan.execute(path, data=home / "data", **wrong)


def test_a_rank_without_replay_is_refused(plans, tmp_path, monkeypatch):
    from foreplan.commands.execute import execute

    path = tmp_path / "plan.json"
    write_record(path, plans)
    with pytest.raises(PlanError, match=r"^--rank: expected --replay together with --rank R"):
        execute(path, rank=1)

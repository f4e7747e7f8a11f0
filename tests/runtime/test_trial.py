"""A rank on a device of this process: trained, timed op by op, predicted with its host."""

import time
from dataclasses import replace

import numpy as np
import pytest

from hwprofiles.costs import CostBook
from planner.layer import Layer
from planner.lower import lower
from planner.model import load_model
from planner.opsets import plan_calls
from planner.plan import Training
from planner.program import ComputeTask
from runtime.device import HostDevice
from runtime.op_timer import bound, time_call
from runtime.prefetch import Prefetch
from runtime.trial import Trial, predicted_s

TRAINING = Training(batch=32)


def fetch(step, microbatch, raw):
    raw[...] = np.random.default_rng(step).integers(0, 10, raw.shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def lowered(machine, dp):
    def build(plan, ops=()):
        device = machine.cluster(1).devices[0]
        books = {device.name: CostBook(device=device, ops=dict(ops))}
        cluster = machine.cluster(plan.workers)
        return lower(load_model("mlp"), TRAINING, plan, cluster, books)

    return build


def test_a_trial_trains_and_its_arena_is_the_predicted_one(lowered, dp):
    program = lowered(dp(1, 16))
    trial = Trial(load_model("mlp"), TRAINING, program, HostDevice())
    trial.begin(fetch)
    found = trial.run(2, 3)
    assert len(found.block_s) == 2
    assert np.isfinite(found.loss)
    assert trial.worker.arena.is_intact
    assert trial.done == 6


def test_a_rank_of_several_is_replayed(lowered, dp):
    trial = Trial(load_model("mlp"), TRAINING, lowered(dp(4, 8)), HostDevice(), rank=2)
    trial.begin(fetch)
    assert np.isfinite(trial.run(1, 1).loss)
    assert trial.worker.tasks == trial.program.of_rank(2)


def test_ops_of_a_plan_are_timed_and_predict_its_step(lowered, dp):
    plan = dp(1, 32)
    calls = plan_calls(load_model("mlp"), TRAINING, plan)
    times = {name: time_call(HostDevice(), call, blocks=2) for name, call in calls.items()}
    ops = {name: found.sample for name, found in times.items()}
    assert all(found.issue_s == 0 for found in times.values()), "a host issues nothing"
    program = lowered(plan, ops)
    free, bounded = predicted_s(program, {})
    assert free == bounded == pytest.approx(_sum(program, ops), rel=1e-6)


def test_what_is_timed_of_a_pool_has_maxima_to_find():
    of = Layer(
        name="pool", kind="max_pool", in_shapes=((3, 4, 4),), inputs=("a",), attrs=(("window", 2),)
    )
    run = bound(HostDevice(), of.call("input_grad", 5, "float32"))
    x, y, dy, dx = run.args[:4]
    run()
    np.testing.assert_array_equal(y, x.reshape(3, 2, 2, 2, 2, 5).max(axis=(2, 4)))
    assert np.count_nonzero(dx) == np.count_nonzero(dy) > 0


def _sum(program, ops):
    tasks = [info for info in program.tasks if isinstance(info, ComputeTask)]
    return sum(ops[info.call.signature].median_s for info in tasks)


def test_a_host_that_is_slow_to_issue_bounds_the_predicted_step(lowered, dp):
    plan = dp(1, 32)
    calls = plan_calls(load_model("mlp"), TRAINING, plan)
    sample = time_call(HostDevice(), next(iter(calls.values())), blocks=2).sample
    ops = {name: replace(sample, signature=name, median_s=1e-6) for name in calls}
    program = lowered(plan, ops)
    count = sum(isinstance(info, ComputeTask) for info in program.tasks)
    _, bounded = predicted_s(program, dict.fromkeys(calls, 1e-3))
    assert bounded == pytest.approx(count * 1e-3 + 1e-6, rel=1e-3)


def test_records_are_read_ahead_in_order_and_faults_are_told():
    seen = []

    def read(firing, out):
        if firing == 4:
            raise OSError("disk gone")
        seen.append(firing)
        out[...] = firing

    with Prefetch([HostDevice().slot((2, 3)) for _ in range(2)], read) as ahead:
        raw = np.empty((2, 3), np.uint8)
        for firing in range(3):
            ahead.fetch(9, 9, raw)
            assert (raw == firing).all()
        while not ahead.fault:
            time.sleep(1e-3)
        with pytest.raises(OSError, match="disk gone"):
            ahead.fetch(0, 0, raw)
    assert seen == [0, 1, 2, 3]

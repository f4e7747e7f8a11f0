"""Training on one rank, in this process: parameters, updates, accuracy, and what is refused."""

from contextlib import ExitStack
from dataclasses import replace
from math import log

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from hwprofiles.errors import PlanError, RecordError
from planner.jsonable import to_jsonable
from planner.model import load_model
from planner.plan import Training, parameter_offsets
from runtime.initial import initial_parameters
from runtime.parameters import read
from runtime.records import RecordFile
from runtime.text import write_text
from runtime.train import _prepare, train_ranks
from runtime.voice import Voice

TRAINING = Training(batch=48, dtype="float64", learning_rate=0.1, momentum=0.9, seed=5)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A worker has one BLAS thread; more of them would only spin here."""
    with threadpool_limits(1):
        yield


class Alone:
    """A communicator of one rank; ``lies`` makes it hear of another rank with another digest."""

    rank, size = 0, 1

    def __init__(self, lies=False):
        self.lies = lies

    def Barrier(self):  # noqa: N802 - MPI's own name
        pass

    def gather(self, value):
        is_digest = isinstance(value, str)
        return [value, "0" * 64] if is_digest and self.lies else [value]

    def allgather(self, value):
        return [value]

    def allreduce(self, value, op):
        return value


@pytest.fixture(scope="module")
def job(home, plan_file, dp):
    return {
        "plans": to_jsonable(plan_file("lenet-5", TRAINING, dp(1, 48), dp(1, 12))),
        "pick": 0,
        "train": str(home / "data" / "digits-train.rec"),
        "test": str(home / "data" / "digits-test.rec"),
        "steps": 6,
        "warmup": 2,
        "traced": 3,
        "solo": True,
        "sentinels": True,
        "expected": {},
        "parameters": "",
    }


@pytest.fixture
def prepared(job, plan_file, dp):
    plans = plan_file("lenet-5", TRAINING, dp(1, 12))
    with ExitStack() as opened:
        yield _prepare(plans, plans.plans[0], job, Alone(), opened)


def test_the_first_parameters_are_the_initial_ones_layer_by_layer(prepared):
    model, flat = load_model("lenet-5"), prepared.flat("parameters")
    initial = initial_parameters(model, "float64", seed=5)
    assert flat.size == initial.size == model.parameter_count
    np.testing.assert_array_equal(read(prepared, model, TRAINING), initial)
    at = parameter_offsets(model)[len(model.layers) - 1]
    assert at == 0, "the last layer lies first"
    assert not np.array_equal(flat, initial)


def test_the_flat_arrays_lie_in_registers_of_their_own(prepared):
    arrays = [prepared.flat(name) for name in ("parameters", "gradients", "momentum")]
    for i, array in enumerate(arrays):
        assert array.dtype == np.float64
        assert not any(np.shares_memory(array, other) for other in arrays[i + 1 :])


def test_an_update_is_sgd_with_momentum(prepared):
    parameters, momentum = (prepared.flat(name) for name in ("parameters", "momentum"))
    kept = [parameters.copy()]
    moved = [momentum.copy()]
    for step in range(3):
        prepared.step[0] = step
        prepared.loop.run()
        kept.append(parameters.copy())
        moved.append(momentum.copy())
    for before, after, m in zip(kept, kept[1:], moved[1:], strict=False):
        np.testing.assert_allclose(before - 0.1 * m, after, rtol=0, atol=1e-15)
    assert np.abs(moved[1]).max() > 0
    assert not np.array_equal(moved[1], moved[2])


@pytest.fixture(scope="module")
def answer(job, tmp_path_factory):
    saved = tmp_path_factory.mktemp("saved") / "p.npy"
    answer = train_ranks(job | {"parameters": str(saved)}, Alone(), Voice())
    return answer, np.load(saved)


def test_the_answer_has_every_timed_step_and_every_loss(answer):
    found, _ = answer
    assert len(found["seconds"]) == 6
    assert min(found["seconds"]) > 0
    assert found["training_s"] == pytest.approx(sum(found["seconds"]))
    assert len(found["losses"]) == 8
    assert found["losses"][0] == pytest.approx(log(10), rel=0.1)
    assert found["arena_intact"]


def test_every_task_is_traced_and_timed_alone(answer, job, plan_file, dp):
    found, _ = answer
    tasks = plan_file("lenet-5", TRAINING, dp(1, 48)).plans[0].prediction.tasks
    traced = found["traced"]
    assert sorted(map(int, found["solo"])) == list(range(tasks))
    assert min(found["solo"].values()) > 0
    for name in ("median_s", "start_s", "end_s"):
        assert len(traced[name]) == tasks
    assert min(traced["start_s"]) == 0
    assert all(a <= b for a, b in zip(traced["start_s"], traced["end_s"], strict=True))


def test_saved_parameters_are_of_the_last_timed_step(answer, job, plan_file, dp):
    """The traced steps that follow train on, and must not show."""
    _, saved = answer
    plans = plan_file("lenet-5", TRAINING, dp(1, 48))
    with ExitStack() as opened:
        worker = _prepare(plans, plans.plans[0], job, Alone(), opened)
        for step in range(8):
            worker.step[0] = step
            worker.loop.run()
    expected = read(worker, load_model("lenet-5"), TRAINING)
    np.testing.assert_array_equal(saved, expected)


def test_sentinels_are_timed_before_and_after(answer):
    found, _ = answer
    before, after = found["sentinels_before"], found["sentinels_after"]
    assert before.keys() == after.keys()
    assert len(before) == 3
    assert all(len(times) == 1 and times[0] > 0 for times in (*before.values(), *after.values()))


def test_workers_that_come_apart_are_a_bug_that_is_said(job):
    plain = job | {"traced": 0, "solo": False, "sentinels": False}
    with pytest.raises(PlanError, match="after 8 steps the workers hold different parameters"):
        train_ranks(plain, Alone(lies=True), Voice())


def test_a_graph_that_is_not_the_predicted_one_is_refused(job, plan_file, dp):
    plans = plan_file("lenet-5", TRAINING, dp(1, 48))
    old = replace(plans.plans[0].prediction, graph_sha256="0" * 64)
    ranked = replace(plans.plans[0], prediction=old)
    with pytest.raises(RecordError, match="lowers to another task graph"):
        _prepare(plans, ranked, job, Alone(), ExitStack())


@pytest.mark.slow
def test_gpt_nano_learns_more_of_text_than_how_frequent_its_bytes_are(job, plan_file, dp, tmp_path):
    """On texts that it has not seen: well below the entropy of single bytes after 100 steps."""
    training = Training(batch=8, learning_rate=0.1, momentum=0.8)
    train, test = write_text(tmp_path)
    text = {
        "plans": to_jsonable(plan_file("gpt-nano", training, dp(1, 8))),
        "train": str(train),
        "test": str(test),
        "steps": 100,
        "warmup": 0,
        "traced": 0,
        "solo": False,
        "sentinels": False,
    }
    found = train_ranks(job | text, Alone(), Voice())
    with RecordFile(test) as records:
        raw = np.empty((records.count, records.header.record_bytes), np.uint8)
        records.read_into(0, raw)
    share = np.bincount(raw[:, 1:].ravel(), minlength=256) / raw[:, 1:].size
    entropy = -float(np.sum(share * np.log(np.where(share, share, 1))))
    assert 3 < entropy < 3.4
    assert found["losses"][0] == pytest.approx(log(256), rel=0.05)
    assert found["test_loss"] < entropy - 0.25, (found["test_loss"], entropy)
    assert found["accuracy"] > share.max() + 0.02

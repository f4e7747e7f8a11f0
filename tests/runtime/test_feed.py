"""The input pipeline for real: the same training to the bit, credits, the end of its processes."""

import pytest
from threadpoolctl import threadpool_limits

from planner.jsonable import to_jsonable
from planner.plan import Training
from runtime.train import train_ranks
from runtime.voice import Voice
from tests.runtime.test_train import Alone

TRAINING = Training(batch=48, dtype="float64", learning_rate=0.1, momentum=0.9, seed=5)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A worker has one BLAS thread; more of them would only spin here."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def job(home, plan_file, dp):
    def build(training=TRAINING, train="digits-train.rec", **fields):
        return {
            "plans": to_jsonable(plan_file("mlp", training, dp(1, 16, **fields))),
            "pick": 0,
            "cores": [],
            "train": str(home / "data" / train),
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


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 2)])
def test_training_is_the_same_to_the_bit(workers, prefetch, job, plain):
    """Three microbatches a step: two workers take turns over the end of a step."""
    found = train(job(decode_workers=workers, prefetch=prefetch))
    assert found["parameters_sha256"] == plain["parameters_sha256"]
    assert found["losses"] == plain["losses"]

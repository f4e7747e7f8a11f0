"""Real workers: however many there are, and however they exchange, training gives the same model.

A plan changes only the order in which gradients are summed. So parameters after the same steps may
differ by rounding, and by no more than

    float64    1e-12 x scale x steps
    float32    eps x sqrt(summands) x scale

where scale is the largest parameter and a parameter is the sum of its start and of ``summands =
steps x batch x positions`` terms, positions being the places at which the layer of most of them
uses a weight (28 x 28 for the first maps of LeNet-5, 1 for a perceptron, the tokens of a text).
``small`` has batch normalisation and dropout, and is trained by AdamW: what depends on single
samples is in it, and the larger state.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from planner.jsonable import to_jsonable
from planner.measurement import Measurement
from planner.model import load_model
from planner.plan import Training, buckets
from planner.records import read_record, write_record
from runtime.launch import launch
from runtime.records import RecordFile
from runtime.train import _prepare

pytestmark = pytest.mark.slow

BATCH, STEPS = 48, 20
STEPS_OF = {"gpt-nano": 4}
"""Of models that take longer."""
POSITIONS = {"lenet-5": 28 * 28, "mlp": 1, "small": 16 * 16, "gpt-nano": 64}
WHOLE = 1 << 30


@dataclass(frozen=True)
class Run:
    """What one run of real workers left behind."""

    parameters: np.ndarray
    losses: np.ndarray
    accuracy: float
    digests: str


@pytest.fixture(scope="module")
def train(home, plan_file, dp, small_model, adamw, tmp_path_factory):
    """``train(model, dtype, workers, ...)``: run a plan for 20 steps with real processes."""

    @cache
    def run(
        model, dtype, workers, microbatch, algorithm="ring", split=False, overlap=False, steps=0
    ):
        small = model == "small"
        records = "text" if model == "gpt-nano" else "digits"
        steps = steps or STEPS_OF.get(model, STEPS)
        training = Training(batch=BATCH, dtype=dtype, **(adamw if small else {}))
        model = small_model if small else model
        bucket_bytes = _two(model) * np.dtype(dtype).itemsize if split else WHOLE
        plan = dp(workers, microbatch, algorithm, bucket_bytes, overlap)
        plans = plan_file(model, training, plan)
        saved = tmp_path_factory.mktemp("parameters") / "p.npy"
        job = {
            "kind": "train",
            "cores": [0, 1],
            "identity": {},
            "plans": to_jsonable(plans),
            "pick": 0,
            "train": str(home / "data" / f"{records}-train.rec"),
            "test": str(home / "data" / f"{records}-test.rec"),
            "steps": steps,
            "warmup": 0,
            "traced": 0,
            "solo": False,
            "sentinels": False,
            "prove": True,
            "expected": {},
            "parameters": str(saved),
        }
        answer = launch(job, workers, timeout_s=60.0)
        assert answer["arena_intact"]
        assert len(answer["beside_arena_bytes"]) == workers
        assert answer["arena_bytes"] == list(plans.plans[0].prediction.arena_bytes)
        return Run(
            parameters=np.load(saved),
            losses=np.array(answer["losses"]),
            accuracy=answer["accuracy"],
            digests=answer["parameters_sha256"],
        )

    return run


def _two(model):
    """Elements of the first of two buckets, checked to make two."""
    elements = {"lenet-5": 20_000, "mlp": 200_000, "gpt-nano": 60_000}.get(model, 5_000)
    assert len(buckets(load_model(model), elements)) == 2
    return elements


def tolerance(model, dtype, scale):
    steps = STEPS_OF.get(model, STEPS)
    if dtype == "float64":
        return 1e-12 * scale * steps
    summands = steps * BATCH * POSITIONS[model]
    return float(np.finfo(np.float32).eps) * np.sqrt(summands) * scale


CASES = [
    # model, dtype, workers, microbatch, algorithm, two buckets, overlap
    ("lenet-5", "float64", 1, 16, "ring", False, False),
    ("lenet-5", "float64", 2, 24, "ring", False, False),
    ("lenet-5", "float64", 2, 24, "star", True, True),
    ("lenet-5", "float64", 3, 16, "ring", True, True),
    ("lenet-5", "float64", 3, 8, "tree", True, True),
    ("lenet-5", "float64", 3, 16, "sharded_star", True, False),
    ("lenet-5", "float64", 4, 12, "double_binary_tree", False, False),
    ("lenet-5", "float64", 4, 6, "halving_doubling", True, True),
    ("lenet-5", "float32", 4, 12, "star", True, True),
    ("mlp", "float32", 4, 6, "ring", True, True),
    ("gpt-nano", "float64", 2, 12, "tree", False, False),
    ("gpt-nano", "float64", 3, 16, "double_binary_tree", True, True),
    ("gpt-nano", "float64", 4, 6, "ring", True, True),
    ("mlp", "float32", 3, 8, "halving_doubling", True, True),
    ("mlp", "float32", 4, 6, "sharded_star", True, True),
    ("small", "float64", 1, 4, "ring", False, False),
    ("small", "float64", 2, 24, "sharded_star", False, False),
    ("small", "float64", 3, 16, "star", True, False),
    ("small", "float64", 3, 8, "double_binary_tree", True, True),
    ("small", "float64", 4, 4, "tree", True, True),
    ("small", "float32", 2, 12, "ring", True, True),
    ("small", "float32", 4, 12, "halving_doubling", False, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_parameters_are_those_of_one_worker(case, train):
    model, dtype = case[:2]
    alone, run = train(model, dtype, 1, BATCH), train(*case)
    scale = np.abs(alone.parameters).max()
    assert scale > 0.1
    difference = np.abs(run.parameters - alone.parameters).max()
    assert difference <= tolerance(model, dtype, scale)
    np.testing.assert_allclose(run.losses, alone.losses, rtol=0, atol=tolerance(model, dtype, 10))


def test_the_tolerance_would_see_one_step_less(train):
    for model, dtype in (("lenet-5", "float64"), ("lenet-5", "float32"), ("small", "float32")):
        alone = train(model, dtype, 1, BATCH)
        short = train(model, dtype, 1, BATCH, steps=STEPS - 1)
        scale = np.abs(alone.parameters).max()
        difference = np.abs(short.parameters - alone.parameters).max()
        assert difference > 10 * tolerance(model, dtype, scale)


@pytest.mark.slow
def test_the_command_line_trains_the_same_model(train, home, plan_file, dp, command, tmp_path):
    """Warm-up is ten steps, so ten timed ones make twenty; four workers share the cores."""
    training = Training(batch=BATCH, dtype="float64")
    write_record(tmp_path / "plan.json", plan_file("lenet-5", training, dp(4, 12, "ring")))
    arguments = ["execute", "plan.json", "--steps", "10", "--oversubscribe", "--save", "p.npy"]
    answer = command(arguments, tmp_path, home)
    assert answer.returncode == 0, answer.stderr
    alone = train("lenet-5", "float64", 1, BATCH).parameters
    difference = np.abs(np.load(tmp_path / "p.npy") - alone).max()
    assert difference <= tolerance("lenet-5", "float64", np.abs(alone).max())
    measured = read_record(tmp_path / "measurement.json", Measurement, "a measurement")
    assert measured.executions[0].arena_intact
    assert len(measured.executions[0].losses) == STEPS
    assert measured.ranked.plan.workers == 4


def test_training_learns(train):
    losses = train("lenet-5", "float64", 1, BATCH).losses
    assert losses[-5:].mean() < 0.9 * losses[:5].mean()


def test_the_same_run_twice_is_the_same_to_the_bit(train):
    first = train("lenet-5", "float32", 4, 12, "star", True, True)
    train.cache_clear()
    again = train("lenet-5", "float32", 4, 12, "star", True, True)
    assert again.digests == first.digests
    np.testing.assert_array_equal(again.losses, first.losses)


class Messages:
    """A communicator that binds messages and sends none."""

    def __init__(self, rank):
        self.rank = rank

    def Ssend_init(self, array, peer, tag):  # noqa: N802 - MPI's own name
        return ("send", peer, tag)

    def Recv_init(self, array, peer, tag):  # noqa: N802 - MPI's own name
        return ("receive", peer, tag)


@pytest.mark.parametrize(
    ("workers", "microbatch"), [(1, 48), (1, 8), (2, 24), (2, 8), (3, 16), (4, 4)]
)
def test_all_workers_together_load_the_global_batch(workers, microbatch, home, plan_file, dp):
    """In order of rank and microbatch, every step reads the next 48 records of the file."""
    training = Training(batch=BATCH)
    plans = plan_file("mlp", training, dp(workers, microbatch))
    path = home / "data" / "digits-train.rec"
    job = {"train": str(path)}
    bound = [_prepare(plans, plans.plans[0], job, Messages(rank)) for rank in range(workers)]
    with RecordFile(path) as file:
        epoch = file.count // BATCH
        for step in (0, 1, epoch - 1, epoch, 3 * epoch + 2):
            read = []
            for worker, _ in bound:
                worker.step[0] = step
                for task, fire in zip(worker.tasks, worker.fires, strict=True):
                    info = worker.program.tasks[task]
                    if info.phase == "load":
                        fire()
                        read.append(worker.arena.view(info.views[2]).copy())
            expected = np.empty((BATCH, 65), np.uint8)
            file.read_into(step % epoch * BATCH, expected)
            np.testing.assert_array_equal(np.concatenate(read), expected)
    for _, records in bound:
        records.close()

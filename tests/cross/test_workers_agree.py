"""Real workers: however many there are, and however they exchange, training gives the same model.

A plan changes only the order in which gradients are summed. So parameters after the same steps may
differ by rounding, and by no more than

    float64    1e-12 x scale x steps
    float32    eps x sqrt(summands) x scale

where scale is the largest parameter and a parameter is the sum of its start and of ``summands =
steps x batch x positions`` terms, positions being the places at which the layer of most of them
uses a weight (28 x 28 for the first maps of LeNet-5, 1 for a perceptron, the tokens of a text).
``small`` has batch normalisation and dropout, and is trained by AdamW: what depends on single
samples is in it, and the larger state. Models, algorithms and numbers of workers are tried in a set
that holds every pair of choices.
"""

import keyword
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

import foreplan
from planner.jsonable import to_jsonable
from planner.layout import layouts
from planner.measurement import Measurement
from planner.plan import Training, buckets
from planner.records import read_record, write_record
from runtime.record_writer import write_records
from runtime.records import RecordFile
from runtime.train import _prepare
from tests.cross.trainings import train_all
from tests.planner_cases import ALGORITHMS
from tests.shipped import shipped

pytestmark = pytest.mark.slow

BATCH, STEPS = 48, 20
STEPS_OF = {"gpt-nano": 2, "alexnet-cifar": 1, "resnet-20": 1}
"""Of models that take longer."""
POSITIONS = {
    "lenet-5": 28 * 28,
    "mlp": 1,
    "small": 16 * 16,
    "gpt-nano": 64,
    "alexnet-cifar": 32 * 32,
    "resnet-20": 32 * 32,
}
SPLIT = {"lenet-5": 20_000, "mlp": 200_000, "gpt-nano": 60_000, "small": 5_000}
SPLIT |= {"alexnet-cifar": 1_500_000, "resnet-20": 150_000, "lstm-nano": 50_000}
"""Elements of the first of two buckets."""
WHOLE = 1 << 30
HEAVY = ("alexnet-cifar", "resnet-20")
"""They take longest: of each one arena is proved."""
EXCHANGES = ((False, False), (True, False), (True, True))
"""Two buckets or one, and overlap."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training: the same answer is expected of all that share a model, a type and a batch."""

    model: str
    dtype: str
    workers: int = 1
    batch: int = BATCH
    microbatch: int = BATCH
    algorithm: str = "ring"
    split: bool = False
    overlap: bool = False
    fine: bool = False
    """Whether there are so many buckets that some land on the bytes of others."""
    slots: int = 1
    """Of activations and input."""
    steps: int = STEPS
    again: bool = False
    """Whether it has run before."""

    @property
    def alone(self) -> "Case":
        """The same training of one worker in one pass."""
        batch, steps = self.batch, self.steps
        whole = 32 if self.model == "resnet-20" else batch
        return Case(model=self.model, dtype=self.dtype, batch=batch, microbatch=whole, steps=steps)


def covering() -> list[Case]:
    """Return cases with every pair of model, algorithm, number of workers and exchange."""
    found = []
    for (i, model), (j, name) in product(enumerate(POSITIONS), enumerate(ALGORITHMS)):
        workers, (split, overlap) = 2 + (i + j) % 3, EXCHANGES[(i + 2 * j) % 3]
        rounds = 1 + (i // 3 + j) % 2
        batch = BATCH
        if model == "resnet-20":  # norm groups of 32 samples
            rounds, batch = 1, 32 * workers
        elif model == "small" and batch // (workers * rounds) % 4:  # of 4
            rounds = 3
        wide = model == "resnet-20" or (i + j // 3) % 2
        found.append(
            Case(
                model=model,
                dtype="float32" if wide else "float64",
                workers=workers,
                batch=batch,
                microbatch=batch // (workers * rounds),
                algorithm=name,
                split=split,
                overlap=overlap,
                slots=rounds,
                steps=STEPS_OF.get(model, STEPS),
            )
        )
    return found


CASES = [
    *covering(),
    Case(model="lenet-5", dtype="float64", microbatch=16),
    Case(model="small", dtype="float64", microbatch=4),
]
CASES.append(
    Case(
        model="gpt-nano",
        dtype="float64",
        workers=3,
        batch=12,
        microbatch=2,
        algorithm="star",
        overlap=True,
        fine=True,
        slots=2,
        steps=2,
    )
)
CASES += [
    Case(
        model=model,
        dtype="float64",
        workers=4,
        microbatch=BATCH // 4,
        algorithm=f"{name}:{numbers}",
        split=True,
        overlap=overlap,
    )
    for model, name, numbers, overlap in (
        ("lenet-5", "hierarchical", "2", True),
        ("mlp", "hierarchical_halving", "2", False),
        ("lenet-5", "torus", "2x2", False),
        ("lenet-5", "multi_ring", "2x2x2", True),  # turned in two nodes of two, in pieces
    )
]
CASES.append(
    Case(
        model="alexnet-cifar",
        dtype="float32",
        workers=2,
        batch=8,
        microbatch=2,
        split=True,
        overlap=True,
        slots=2,
        steps=1,
    )
)
CASES.append(
    Case(
        model="lstm-nano",
        dtype="float64",
        workers=2,
        batch=8,
        microbatch=2,
        split=True,
        overlap=True,
        slots=2,
        steps=2,
    )
)
PROVED = [*CASES[-2:], next(c for c in CASES if (c.model, c.workers) == ("resnet-20", 2))]
TWICE = next(case for case in CASES if case.dtype == "float32" and case.workers == 4)
ALONE = [Case(model="lenet-5", dtype="float64"), Case(model="lenet-5", dtype="float32")]
ALONE.append(Case(model="small", dtype="float32"))
SHORT = [replace(case, steps=STEPS - 1) for case in ALONE]
EVERY = dict.fromkeys([*CASES, replace(TWICE, again=True), *ALONE, *SHORT])
EVERY |= dict.fromkeys([case.alone for case in CASES])
"""All that is trained, each once."""
OF = {n: [case for case in EVERY if case.workers == n] for n in (1, 2, 3, 4)}
SHIFTS = (
    ((0, 1, 2, 3), OF[4]),
    ((0, 1, 2), OF[3]),
    ((3,), OF[1]),
    ((0, 1), [case for i, case in enumerate(OF[2]) if i % 3]),
    ((2, 3), OF[2][::3]),
)
"""Who trains what, so that all four processes have work all the time."""
PROCESSES = 4


@dataclass(frozen=True)
class Run:
    """What one run of real workers left behind."""

    parameters: np.ndarray
    losses: np.ndarray
    digests: str


@pytest.fixture(scope="module")
def train(home, plan_file, dp, small_model, adamw, tmp_path_factory):
    """``train(case)``: what a case leaves; all of them run when one is asked."""

    few = tmp_path_factory.mktemp("few")  # how well they end is not looked at
    foreplan.write_text(few, [Path(keyword.__file__)])
    with RecordFile(home / "data" / "digits-test.rec") as digits:
        raw = np.empty((8, digits.header.record_bytes), np.uint8)
        digits.read_into(0, raw)
    shape, labels = (-1, *digits.header.sample_shape), raw[:, 0]
    write_records(few / "digits-test.rec", raw[:, 1:].reshape(shape), labels, classes=10, seed=0)

    def job_of(case, saved):
        small, model = case.model == "small", case.model
        training = Training(batch=case.batch, dtype=case.dtype, **(adamw if small else {}))
        model = small_model if small else model
        item = np.dtype(case.dtype).itemsize
        bucket_bytes = WHOLE
        if case.split:
            bucket_bytes = SPLIT[case.model] * item
            assert len(buckets(shipped(model), SPLIT[case.model])) == 2
        plan = dp(
            case.workers,
            case.microbatch,
            case.algorithm,
            10_000 * item if case.fine else bucket_bytes,
            case.overlap,
            activation_slots=case.slots,
            input_slots=case.slots,
            landing_slots=2 if case.fine else 1,
        )
        if case.fine:
            arenas = layouts(shipped(model), training, plan)
            assert any(waits for arena in arenas for waits in arena.landing_after)
        records = "text" if case.model in ("gpt-nano", "lstm-nano") else "digits"
        plans = plan_file(model, training, plan)
        return {
            "plans": to_jsonable(plans),
            "pick": 0,
            "train": str(home / "data" / f"{records}-train.rec"),
            "test": str(few / f"{records}-test.rec"),
            "steps": case.steps,
            "warmup": 0,
            "traced": 0,
            "solo": False,
            "sentinels": False,
            "prove": case in PROVED or (case.workers > 1 and case.model not in HEAVY),
            "expected": {},
            "parameters": str(saved),
        }, plans.plans[0].prediction.arena_bytes

    @cache
    def everything():
        folder = tmp_path_factory.mktemp("trainings")
        saved = {case: folder / f"{i}.npy" for i, case in enumerate(EVERY)}
        jobs = {case: job_of(case, path) for case, path in saved.items()}
        shifts = [(ranks, [jobs[case][0] for case in cases]) for ranks, cases in SHIFTS]
        found, runs = train_all(shifts, PROCESSES, folder), {}
        for (_, cases), answers in zip(SHIFTS, found, strict=True):
            for case, answer in zip(cases, answers, strict=True):
                job, arena_bytes = jobs[case]
                assert answer["arena_intact"]
                assert not job["prove"] or len(answer["beside_arena_bytes"]) == case.workers
                assert answer["arena_bytes"] == list(arena_bytes)
                runs[case] = Run(
                    parameters=np.load(saved[case]),
                    losses=np.array(answer["losses"]),
                    digests=answer["parameters_sha256"],
                )
        return runs

    return lambda case: everything()[case]


def tolerance(case, scale):
    if case.dtype == "float64":
        return 1e-12 * scale * case.steps
    summands = case.steps * case.batch * POSITIONS[case.model]
    return float(np.finfo(np.float32).eps) * np.sqrt(summands) * scale


def check_same(case, run, alone):
    """What several workers leave is what one leaves."""
    scale = np.abs(alone.parameters).max()
    assert scale > 0.1, case
    difference = np.abs(run.parameters - alone.parameters).max()
    assert difference <= tolerance(case, scale), case
    np.testing.assert_allclose(
        run.losses, alone.losses, rtol=0, atol=tolerance(case, 10), err_msg=str(case)
    )


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_parameters_are_those_of_one_worker(workers, train):
    cases = [case for case in CASES if case.workers == workers]
    assert len(cases) >= 2
    for case in cases:
        check_same(case, train(case), train(case.alone))
    if workers == TWICE.workers:
        first, again = train(TWICE), train(replace(TWICE, again=True))
        assert again.digests == first.digests, "the same run twice is not the same to the bit"
        np.testing.assert_array_equal(again.losses, first.losses)


def test_every_pair_of_choices_is_tried():
    """Every pair of model, algorithm, workers and exchange; and each with both types and rounds."""
    axes = {
        "model": list(POSITIONS),
        "algorithm": ALGORITHMS,
        "workers": [2, 3, 4],
        "exchange": EXCHANGES,
    }
    rows = [vars(c) | {"exchange": (c.split, c.overlap), "rounds": c.slots > 1} for c in CASES]
    for a, b in combinations(axes, 2):
        tried = {(row[a], row[b]) for row in rows}
        assert set(product(axes[a], axes[b])) <= tried, (a, b)
    for name in ("algorithm", "workers", "exchange"):
        for other, values in (("dtype", ["float32", "float64"]), ("rounds", [False, True])):
            tried = {(row[name], row[other]) for row in rows}
            assert set(product(axes[name], values)) <= tried, (name, other)


def test_the_tolerance_would_see_one_step_less(train):
    for case, less in zip(ALONE, SHORT, strict=True):
        alone, short = train(case), train(less)
        scale = np.abs(alone.parameters).max()
        difference = np.abs(short.parameters - alone.parameters).max()
        assert difference > 10 * tolerance(case, scale)
        with pytest.raises(AssertionError):
            check_same(case, short, alone)


@pytest.mark.slow
def test_the_command_line_trains_the_same_model(train, home, plan_file, dp, inside, tmp_path):
    """Warm-up is ten steps, so ten timed ones make twenty; four workers share the cores."""
    training = Training(batch=BATCH, dtype="float64")
    write_record(tmp_path / "plan.json", plan_file("lenet-5", training, dp(4, 12, "ring")))
    arguments = ["execute", "plan.json", "--steps", "10", "--oversubscribe", "--save", "p.npy"]
    answer = inside(arguments, tmp_path, home)
    assert answer.returncode == 0, answer.stderr
    alone = train(ALONE[0]).parameters
    difference = np.abs(np.load(tmp_path / "p.npy") - alone).max()
    assert difference <= tolerance(ALONE[0], np.abs(alone).max())
    measured = read_record(tmp_path / "measurement.json", Measurement, "a measurement")
    assert measured.executions[0].arena_intact
    assert len(measured.executions[0].losses) == STEPS
    assert measured.ranked.plan.workers == 4


def test_training_learns(train):
    losses = train(ALONE[0]).losses
    assert losses[-5:].mean() < 0.9 * losses[:5].mean()


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
    with RecordFile(path) as file, ExitStack() as opened:
        bound = [
            _prepare(plans, plans.plans[0], job, Messages(rank), opened) for rank in range(workers)
        ]
        epoch = file.count // BATCH
        for step in (0, 1, epoch - 1, epoch, 3 * epoch + 2):
            read = []
            for worker in bound:
                worker.step[0] = step
                for task, fire in zip(worker.tasks, worker.fires, strict=True):
                    info = worker.program.tasks[task]
                    if info.phase == "load":
                        fire()
                        read.append(worker.arena.view(info.views[2]).copy())
            expected = np.empty((BATCH, 65), np.uint8)
            file.read_into(step % epoch * BATCH, expected)
            np.testing.assert_array_equal(np.concatenate(read), expected)

"""Masters beside halves, and a loss that is scaled: what is kept, skipped and learnt."""

import numpy as np
import pytest

from planner.layout import memory_bytes
from planner.lower import lower
from planner.model import load_model
from planner.plan import Training
from planner.precision import GROW_AFTER, INVERSE, SCALE
from planner.program import ComputeTask
from runtime.arena import dtype_of
from runtime.device import HostDevice
from runtime.kernels import Stream, adamw, changing, scaling, sgd, softmax_cross_entropy
from runtime.parameters import read, scaling_view
from runtime.trial import Trial
from tests.runtime.test_cuda_kernels import LAYERS, drawn


def judged(g, state):
    found = np.array(state, np.float32)
    scaling.judge(np.asarray(g), found)
    return found.tolist()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_halves_the_scale_and_skips_the_step(odd):
    g = np.ones(100_000, np.float16)
    g[70_000] = odd
    assert judged(g, [8, 5, 9, 2]) == [4, 0, 0, 3]


def test_many_good_steps_double_the_scale_after_the_one_that_was_scaled_with_it():
    good = np.full(10, 60_000, np.float16)
    assert judged(good, [8, 5, 9, 2]) == [8, 6, 1 / 8, 2]
    assert judged(good, [8, GROW_AFTER - 1, 9, 2]) == [16, 0, 1 / 8, 2]


@pytest.mark.parametrize("module", [sgd, adamw])
def test_a_skipped_step_changes_nothing_and_does_not_count(module):
    settings = {"learning_rate": 0.1, "momentum": 0.9}
    if module is adamw:
        settings = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
        settings["weight_decay"] = 0.01
    states = 1 + (module is adamw)
    rng = np.random.default_rng(0)
    first = [rng.random(9).astype(np.float32) for _ in range(1 + states)]
    g = (rng.random(9) * 8).astype(np.float16)

    def run(steps):
        kept, p, done = [a.copy() for a in first], np.zeros(9, np.float16), 0
        for number, state in enumerate(steps):
            more = {"step": lambda at=number: at} if module is adamw else {}
            module.mixed(g, np.array(state, np.float32), *kept, p, **settings, **more)
            done += state[INVERSE] != 0
        return [*kept, p]

    whole = run([(8, 0, 1 / 8, 0), (8, 1, 1 / 8, 0)])
    gap = run([(8, 0, 1 / 8, 0), (4, 0, 0, 1), (8, 1, 1 / 8, 1)])
    for a, b in zip(whole, gap, strict=True):
        np.testing.assert_array_equal(a, b)
    # in float32 it is the plain update, and the halves are its rounding
    wide = [a.copy() for a in first]
    for number in range(2):
        more = {"step": lambda at=number: at} if module is adamw else {}
        module.update(wide[0], g.astype(np.float32) / 8, *wide[1:], **settings, **more)
    for a, b in zip(whole, wide, strict=False):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole[-1], whole[0].astype(np.float16))


def test_the_scale_multiplies_the_gradient_and_not_the_loss():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(64, 10)).astype(np.float16), rng.integers(0, 10, 64)
    exact, plain = np.empty((64, 10)), np.empty(2)
    softmax_cross_entropy.forward(x.astype(float), labels, exact, plain, batch=1 << 20)
    dx, stats = np.empty_like(x), np.empty(2)
    state = np.array([1 << 16, 0, 0, 0], np.float32)
    softmax_cross_entropy.scaled_forward(x, labels, state, dx, stats, batch=1 << 20)
    np.testing.assert_allclose(stats, plain, rtol=1e-6)
    np.testing.assert_allclose(dx, exact * (1 << 16), rtol=2e-3)
    state[SCALE] = 1  # the test has teeth: such gradients are lost without it
    softmax_cross_entropy.scaled_forward(x, labels, state, dx, stats, batch=1 << 20)
    assert not np.allclose(dx, exact, rtol=2e-3, atol=0)


def lowered(dtype, machine, dp, **changes):
    training = Training(batch=32, dtype=dtype, **changes)
    plan = dp(2, 8, "ring", 40_000, overlap=True)
    return lower(load_model("mlp"), training, plan, machine.cluster(2), machine.books(2))


@pytest.fixture(scope="module")
def gpus():
    from foreplan.machines import load_machine

    return load_machine("dgx-h100:1")


def test_all_updates_of_a_scaled_loss_follow_a_judge_who_follows_all_exchange(gpus, dp):
    program = lowered("float16", gpus, dp)
    graph = program.graph
    above: list[set[int]] = []  # dependencies name earlier tasks
    for task in range(graph.tasks):
        of = set(graph.row("dep", task))
        above.append(of.union(*(above[d] for d in of)))
    for rank in range(2):
        mine = [t for t in program.of_rank(rank) if isinstance(program.tasks[t], ComputeTask)]
        (judge,) = (t for t in mine if program.tasks[t].name == "judge")
        updates = [t for t in mine if program.tasks[t].name.startswith("update")]
        rest = [t for t in mine if t != judge and t not in updates]
        assert len(updates) > 1
        assert all(judge in above[t] for t in updates)
        assert set(rest) <= above[judge]
    assert not any(i.name == "judge" for i in lowered("bfloat16", gpus, dp).tasks)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_masters_and_their_state_are_in_the_memory(optimizer, dp):
    model, plan = load_model("mlp"), dp(1, 32)

    def kept(dtype):
        training = Training(batch=32, dtype=dtype, optimizer=optimizer)
        return memory_bytes(model, training, plan)

    half, full = kept("float16"), kept("float32")
    line = 64
    assert abs(half["parameters"] - full["parameters"] / 2) < line
    assert abs(half["gradients"] - full["gradients"] / 2) < line
    more = half["optimizer"] - full["optimizer"] - full["parameters"]
    assert 0 < more <= line, "the masters, and the scale"


def begun(dtype, machine, dp, name="mlp"):
    """A worker before its first step, two microbatches a step."""
    model, training = load_model(name), Training(batch=8, dtype=dtype)
    program = lower(model, training, dp(1, 4), machine.cluster(1), machine.books(1))
    trial = Trial(model, training, program, HostDevice())

    def fetch(step, microbatch, raw):
        raw[...] = np.random.default_rng(microbatch).integers(0, 10, raw.shape, dtype=np.uint8)

    trial.begin(fetch)
    return trial


def test_halves_learn_what_float32_does(gpus, dp):
    exact = begun("float32", gpus, dp)
    expected = [exact.run(1, 1).loss for _ in range(6)]
    assert expected[-1] < 0.8 * expected[0]
    for dtype, error in (("float16", 1e-3), ("bfloat16", 1e-2)):
        trial = begun(dtype, gpus, dp)
        losses = [trial.run(1, 1).loss for _ in range(6)]
        np.testing.assert_allclose(losses, expected, rtol=error)
        apart = read(trial.worker, trial.model, trial.training) - read(
            exact.worker, exact.model, exact.training
        )
        assert 0 < np.abs(apart).max() < error


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_step_that_overflows_is_skipped_and_the_next_one_is_not(gpus, dp):
    trial = begun("float16", gpus, dp)
    state = trial.worker.arena.view(scaling_view())
    state[SCALE] = 2.0**24
    before = read(trial.worker, trial.model, trial.training)
    trial.run(1, 1)
    assert state.tolist() == [2.0**23, 0, 0, 1]
    np.testing.assert_array_equal(read(trial.worker, trial.model, trial.training), before)
    trial.run(1, 8)
    assert state[INVERSE] > 0
    assert not np.array_equal(read(trial.worker, trial.model, trial.training), before)


KINDS = [each for each in LAYERS if each.kind != "lrn"]
"""Of response norm the sums of squares leave float16."""


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_kernel_computes_in_halves_what_it_does_in_float32(dtype):
    """By itself, or where it knows no halves in float32 on copies."""
    run_of, error = HostDevice().kernel, {"float16": 2e-2, "bfloat16": 1e-1}[dtype]
    for each in KINDS:
        for phase in ("forward", "weight_grad", "input_grad"):
            if not hasattr(each.module, phase) or (each.kind, phase) == ("max_pool", "input_grad"):
                continue
            half, wide = (each.call(phase, 4, name) for name in (dtype, "float32"))
            ours = [drawn(t) for t in wide.tensors]
            if phase == "input_grad" and each.kind == "attention":
                ours[1][...] = 8  # of the sums that it stands for, one that overflows nothing
            theirs = [a.astype(dtype_of(t.dtype)) for a, t in zip(ours, half.tensors, strict=True)]
            more = dict.fromkeys(changing(wide.kernel), STREAM)
            for call, arrays in ((wide, ours), (half, theirs)):
                run_of(call)(*arrays, **dict(call.attrs), **more)
            for a, b, tensor in zip(ours, theirs, wide.tensors, strict=True):
                if tensor in wide.writes:
                    largest = np.abs(a).max()
                    np.testing.assert_allclose(
                        b.astype(float), a, rtol=0, atol=error * largest, err_msg=half.signature
                    )


def STREAM():  # noqa: N802 - what a kernel asks for
    return Stream(1, 2, 3, 4)


def test_a_convnet_is_trained_in_halves(gpus, dp):
    losses = {}
    for dtype in ("float32", "float16"):
        trial = begun(dtype, gpus, dp, "lenet-5")
        losses[dtype] = [trial.run(1, 1).loss for _ in range(3)]
    np.testing.assert_allclose(losses["float16"], losses["float32"], rtol=1e-2)

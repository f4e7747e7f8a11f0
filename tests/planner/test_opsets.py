"""Sets of op calls: what a plan needs and no more; curves are fitted to no model's own ops."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from planner.calls import StepCalls
from planner.landings import added_widths
from planner.model import load_model
from planner.opcall import OpCall
from planner.opsets import general_calls, plan_calls, sentinels, space_calls
from planner.plan import Training
from planner.program import ComputeTask, Program
from planner.space import divisors
from tests.planner_cases import candidates, case, cases


def program_calls(program: Program) -> dict[str, OpCall]:
    return {t.call.signature: t.call for t in program.tasks if isinstance(t, ComputeTask)}


def check_calls(found: dict[str, OpCall], program: Program) -> None:
    """The same signatures, and what they name is the same work."""
    needed = program_calls(program)
    assert set(found) == set(needed)
    for signature, call in found.items():
        assert signature == call.signature
        assert call == needed[signature]


@given(c=cases())
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_calls_of_a_plan_are_those_of_its_program(c):
    check_calls(plan_calls(c.model, c.training, c.plan), c.lower())


def test_the_check_of_calls_shows_one_too_few_and_one_too_many():
    c = case(workers=2)
    found = plan_calls(c.model, c.training, c.plan)
    for signature in found:
        rest = {name: call for name, call in found.items() if name != signature}
        with pytest.raises(AssertionError):
            check_calls(rest, c.lower())
    with pytest.raises(AssertionError):
        check_calls(found | sentinels(), c.lower())


@pytest.mark.parametrize(
    ("algorithm", "widths"),
    [
        ("star", [10]),
        ("tree", [10]),
        ("ring", [2, 3]),
        ("sharded_star", [2, 3]),
        ("double_binary_tree", [5]),
        ("halving_doubling", [2, 3, 5]),
    ],
)
def test_widths_of_additions_of_ten_elements_on_four_ranks(algorithm, widths):
    assert added_widths(algorithm, 4, 10) == widths


def test_calls_of_a_space_are_those_of_its_plans():
    model, training = load_model("mlp"), Training(batch=24)
    found = space_calls(model, training, 2, 3)
    expected: set[str] = set()
    for plan in candidates(model, training, 2, {"workers": 2}):
        if plan.microbatch >= 3 and 24 % (2 * plan.microbatch) == 0:
            c = case(model, batch=24)
            expected |= set(program_calls(replace(c, plan=plan).lower()))
    assert set(found) == expected


@pytest.mark.parametrize("name", ["lenet-5", "mlp", "gpt-nano", "lstm-nano", "alexnet-cifar"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_curves_are_fitted_to_no_op_of_a_built_in_model(name, dtype):
    """Not even to one that differs in coldness alone: a curve must predict what it never saw."""
    model = load_model(name)
    general = {replace(call, reuse_bytes=0).signature for call in general_calls(dtype).values()}
    for microbatch in range(1, 65 if model.reads_tokens else 257):
        c = case(model, workers=1, microbatch=microbatch, batch=microbatch, dtype=dtype)
        step = StepCalls.of(model, c.training, c.plan)
        calls = [step.load, step.loss]
        calls += [call for layer in step.layers for call in layer.fired]
        calls += [step.add(n) for layer in model.layers if (n := layer.parameter_count)]
        calls.append(step.update(model.parameter_count))
        assert general.isdisjoint(replace(call, reuse_bytes=0).signature for call in calls)


@pytest.mark.parametrize("name", ["lenet-5", "mlp", "gpt-nano"])
def test_curves_are_fitted_to_no_exchange_of_a_built_in_model(name):
    model, training = load_model(name), Training(batch=16)
    general = {replace(call, reuse_bytes=0).signature for call in general_calls("float32").values()}
    for workers in range(1, 9):
        for plan in candidates(model, training, workers, {"workers": workers, "microbatch": 1}):
            if 16 % workers == 0:
                calls = plan_calls(model, training, plan).values()
                assert general.isdisjoint(replace(c, reuse_bytes=0).signature for c in calls)


def test_general_calls_cover_every_kernel_that_a_model_needs():
    general = {call.op_class for call in general_calls("float32").values()}
    for name, batch in (
        *dict.fromkeys(("lenet-5", "mlp", "gpt-nano", "lstm-nano", "alexnet-cifar"), 8).items(),
        *dict.fromkeys(("resnet-20", "vgg-11-bn"), 64).items(),
    ):
        c = case(load_model(name), workers=2, batch=batch)
        needed = {call.op_class for call in plan_calls(c.model, c.training, c.plan).values()}
        assert needed <= general


def test_general_calls_are_named_by_their_signature_and_all_of_the_dtype():
    for dtype in ("float32", "float64"):
        found = general_calls(dtype)
        assert all(name == call.signature for name, call in found.items())
        assert {call.dtype for call in found.values()} == {dtype}


def test_every_curve_has_sizes_that_differ_several_times_over():
    sizes: dict[str, list[int]] = {}
    for call in general_calls("float32").values():
        sizes.setdefault(call.op_class, []).append(call.moved_bytes)
    for op_class, moved in sizes.items():
        assert len(moved) >= 4, op_class
        assert max(moved) > 4 * min(moved), op_class


def test_sentinels_are_a_matmul_a_function_and_an_addition_of_their_own():
    found = sentinels()
    assert sorted(call.kernel for call in found.values()) == [
        "add.accumulate",
        "linear.forward",
        "tanh.forward",
    ]
    assert all(name == call.signature and call.reuse_bytes == 0 for name, call in found.items())
    for name in ("lenet-5", "mlp"):
        for microbatch in divisors(64):
            c = case(load_model(name), workers=1, microbatch=microbatch, batch=64)
            assert set(found).isdisjoint(plan_calls(c.model, c.training, c.plan))

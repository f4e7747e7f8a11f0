"""Op calls of a plan: each as cold as a step leaves it, and only that tells plans apart."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.calls import CODE_STAYS_BYTES, REUSE_STEP_BYTES, StepCalls, rounded_reuse
from planner.model import load_model
from planner.plan import Training
from tests.planner_cases import branched_models, case


def step_calls(model="lenet-5", **fields) -> StepCalls:
    c = case(load_model(model), **fields)
    return StepCalls.of(c.model, c.training, c.plan)


def every(step: StepCalls):
    return [step.load, *(call for layer in step.layers for call in layer.fired), step.loss]


@given(traffic=st.integers(0, 1 << 40))
def test_reuse_is_rounded_up_to_whole_steps_and_is_never_warm(traffic):
    found = rounded_reuse(traffic)
    assert found % REUSE_STEP_BYTES == 0
    assert found >= max(traffic, 1)
    assert found - traffic < REUSE_STEP_BYTES or found == REUSE_STEP_BYTES


@given(a=st.integers(0, 1 << 30), b=st.integers(0, 1 << 30))
def test_more_traffic_is_never_warmer(a, b):
    assert rounded_reuse(min(a, b)) <= rounded_reuse(max(a, b))


def test_reuse_of_a_step_on_paper():
    """One microbatch a step: all calls once, and the update reads and writes three arrays."""
    step = step_calls("mlp", workers=1, microbatch=4, batch=4)
    update = 6 * 301_066 * 4
    moved = sum(call.moved_bytes for call in every(step))
    assert step.step_reuse_bytes == rounded_reuse(moved + update)
    assert {call.reuse_bytes for call in every(step)} == {rounded_reuse(moved + update)}
    assert step.update(301_066).moved_bytes == update


def test_calls_of_a_microbatch_share_one_coldness_and_those_of_a_step_another():
    step = step_calls(workers=1, microbatch=16, batch=128)
    assert len({call.reuse_bytes for call in every(step)}) == 1
    assert step.add(7).reuse_bytes == step.update(7).reuse_bytes == step.step_reuse_bytes
    assert step.step_reuse_bytes > every(step)[0].reuse_bytes, "eight microbatches pass in between"


def in_order(step: StepCalls):
    """Calls of a microbatch as they fire."""
    backward = [call for layer in reversed(step.layers) for call in layer.fired[1:]]
    return [step.load, *(layer.forward for layer in step.layers), step.loss, *backward]


@pytest.mark.parametrize("model", ["mlp", "lenet-5", "gpt-nano", "resnet-20"])
@pytest.mark.parametrize("microbatch", [1, 4])
def test_code_is_cold_where_much_has_passed_since_its_kind_ran(model, microbatch):
    """Said again: over two microbatches, bytes are added up from one firing to the next."""
    step = step_calls(model, workers=1, microbatch=microbatch, batch=8)
    parameters = load_model(model).parameter_count
    calls = in_order(step)
    update = step.update(parameters).moved_bytes // (8 // microbatch)
    twice = [*calls, None, *calls]
    for i, call in enumerate(calls):
        place = len(calls) + 1 + i
        passed = 0
        while twice[place - 1] is None or twice[place - 1].kind != call.kind:
            place -= 1
            passed += twice[place].moved_bytes if twice[place] else update
        assert call.cold_code == (passed >= CODE_STAYS_BYTES)
        assert call.cold_code == call.signature.endswith(",code")


def test_code_of_what_a_step_runs_once_is_cold():
    step = step_calls("lenet-5", workers=1, microbatch=32, batch=64)
    assert step.load.cold_code
    assert step.loss.cold_code
    assert step.update(61_706).cold_code, "the only bucket"
    assert not step.update(7).cold_code
    first, *others = (c.forward for c in step.layers if c.forward.kind == "linear")
    assert first.cold_code
    assert not any(call.cold_code for call in others)


@settings(max_examples=25, deadline=None)
@given(model=branched_models())
def test_calls_in_place_are_those_whose_registers_are_the_same(model):
    """As the program has them: it knows registers, a call what it is timed with."""
    program = case(model, workers=1, microbatch=6, batch=12).lower()
    for info in program.tasks:
        call = info.call
        places = [(view.register, view.slot) for view in info.views]
        reads, updates = len(call.reads), len(call.updates)
        written = places[reads + updates : reads + updates + len(call.writes)]
        same = bool(reads and written) and written[0] == places[call.over]
        assert call.in_place == same
        assert call.in_place == call.signature.endswith(",over")


def test_processes_that_read_and_decode_run_nothing_else():
    inputs = step_calls(workers=1, microbatch=32, batch=64, decode_workers=1, prefetch=2).inputs
    assert inputs is not None
    assert [call.cold_code for call in inputs.all] == [False, False, True]


def test_a_larger_microbatch_is_colder():
    small, large = (step_calls(workers=1, microbatch=m, batch=128) for m in (4, 64))
    assert every(large)[0].reuse_bytes > every(small)[0].reuse_bytes


@pytest.mark.parametrize(
    "fields",
    [{"algorithm": "star"}, {"bucket_bytes": 4}, {"overlap": True}, {"activation_slots": 3}],
    ids=str,
)
def test_calls_depend_on_workers_and_microbatch_alone(fields):
    assert step_calls(workers=2, **fields) == step_calls(workers=2)


def test_the_learning_rate_is_no_part_of_a_signature_and_the_dtype_is():
    c = case()

    def signature(training: Training) -> str:
        return StepCalls.of(c.model, training, c.plan).update(10).signature

    assert signature(replace(c.training, learning_rate=1.0)) == signature(c.training)
    assert signature(replace(c.training, dtype="float64")) != signature(c.training)


def test_the_loss_divides_by_the_global_batch():
    step = step_calls(workers=2, microbatch=3, batch=12)
    assert dict(step.loss.settings) == {"batch": 12}
    assert step.loss.reads[0].shape == (3, 10)


def test_the_first_layer_has_no_input_gradient_and_the_parameterless_no_weight_gradient():
    c = case(load_model("lenet-5"))
    step = StepCalls.of(c.model, c.training, c.plan)
    for i, (layer, calls) in enumerate(zip(c.model.layers, step.layers, strict=True)):
        assert (calls.input_grad is None) == (i == 0)
        assert (calls.weight_grad is None) == (not layer.parameters)

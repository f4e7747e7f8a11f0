"""Memory: the formula, the arena and the graph agree, and what lives fits into them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planner.build import chain
from planner.layout import CATEGORIES, memory_bytes
from planner.memory import pass_memory
from planner.model import ModelGraph, load_model
from planner.opcall import DTYPE_BYTES
from planner.predict import RESIDENT, predict
from planner.program import Program
from planner.registers import worker_registers
from sim.checks import peak_live_bytes, static_bytes
from sim.heap_engine import simulate
from tests.planner_cases import Case, case, cases, legal_order

pytestmark = pytest.mark.slow

RANDOM = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def check_memory(c: Case, program: Program, formula: dict[str, int]) -> None:
    """Formula and arena of the fullest are the same bytes, and no more than the registers apart."""
    by_device = static_bytes(program.graph)
    apart = [sum(r.arena_bytes for r in registers) for registers in program.registers]
    fullest = apart.index(max(apart))
    assert sum(formula.values()) == program.arena_bytes(fullest)
    for rank, place in enumerate(c.plan.placement):
        assert by_device[place] == apart[rank]
        assert program.arena_bytes(rank) <= by_device[place]
        assert program.arena_bytes(rank) <= program.arena_bytes(fullest)


UNEVEN = case(
    ModelGraph(
        name="two",
        blocks=chain((9,), [("h", "linear", {"features": 10}), ("out", "linear", {"features": 3})]),
        record_shape=(3, 3),
        classes=3,
    ),
    batch=6,
    microbatch=3,
    algorithm="torus",
    bucket_bytes=4,
    overlap=True,
)
"""More lands on the second worker than on the first."""


def test_the_fullest_worker_is_not_always_the_first():
    assert UNEVEN.lower().arena_bytes(0) < UNEVEN.lower().arena_bytes(1)


@given(c=cases())
@example(c=UNEVEN)
@RANDOM
def test_formula_and_arena_are_the_same_bytes(c):
    check_memory(c, c.lower(), memory_bytes(c.model, c.training, c.plan))


@given(c=cases())
@RANDOM
def test_the_arena_holds_all_that_lives_at_once(c):
    program = c.lower()
    live = peak_live_bytes(program.graph, simulate(program.graph))
    for rank, place in enumerate(c.plan.placement):
        registers = program.registers[rank]
        resident = sum(r.arena_bytes for r in registers if r.name in RESIDENT)
        assert program.arena_bytes(rank) >= resident + live[place]


@given(c=cases())
@RANDOM
def test_waste_is_one_or_more(c):
    prediction, _, _ = predict(c.model, c.training, c.plan, c.machine)
    assert prediction.waste >= 1.0
    for arena, peak in zip(prediction.arena_bytes, prediction.live_peak_bytes, strict=True):
        assert arena >= peak


@given(c=cases())
@RANDOM
def test_categories_are_the_known_ones_and_within_their_registers(c):
    formula = memory_bytes(c.model, c.training, c.plan)
    assert set(formula) <= set(CATEGORIES)
    registers = worker_registers(c.model, c.training, c.plan, 0)
    for category, total in formula.items():
        most = sum(r.arena_bytes for r in registers if r.category == category)
        assert 0 < total <= most or category == "gaps"
        assert total == most or category not in ("parameters", "optimizer", "input")


@given(c=cases(), slots=st.integers(1, 5))
@RANDOM
def test_more_slots_never_shrink_the_arena(c, slots):
    for field in ("activation_slots", "input_slots", "landing_slots"):
        before = memory_bytes(c.model, c.training, c.plan)
        more = replace(c.plan, **{field: getattr(c.plan, field) + slots})
        after = memory_bytes(c.model, c.training, more)
        assert sum(after.values()) >= sum(before.values())


@pytest.mark.parametrize(("rounds", "slots"), [(1, 2), (2, 1), (3, 2), (4, 2), (4, 9)])
def test_a_second_frame_lies_in_the_bytes_of_the_first(rounds, slots):
    c = case(load_model("lenet-5"), workers=1, batch=2 * rounds, activation_slots=slots)
    program, passes = c.lower(), pass_memory(c.model, c.training, c.plan)
    arena = program.layouts[0]
    assert arena.size_bytes == passes.own_bytes + passes.frame_bytes
    assert {r.slots for r in arena.registers if r.name.endswith(".y")} == {min(2, slots, rounds)}
    last = (rounds - 1) % min(2, slots, rounds)
    place = arena.places["c1_tanh.y"]
    lowest = place.first_byte + last * place.step_bytes
    assert lowest == passes.own_bytes, "freed last, so at the bottom, for the last microbatch"


def test_a_second_microbatch_begins_before_the_first_has_ended():
    fields = {"batch": 64, "microbatch": 16, "activation_slots": 2, "input_slots": 2}
    program = case(load_model("mlp"), workers=1, **fields).lower()
    order = [program.tasks[t] for t in legal_order(program.graph, seed=1)]
    at = {(info.microbatch, info.name): place for place, info in enumerate(order)}
    assert at[1, "h1"] < at[0, "h1.weight_grad"]


def test_memory_of_a_perceptron_on_paper():
    c = case(load_model("mlp"), workers=1, batch=4, microbatch=4)
    formula = memory_bytes(c.model, c.training, c.plan)
    up = lambda n: -(-n // 64) * 64  # noqa: E731
    flat = up(301_066 * 4)
    assert formula["parameters"] == formula["gradients"] == formula["optimizer"] == flat
    assert formula["input"] == up(4 * 64 * 4) + up(4 * 8) + up(4 * 65)
    # fullest at the gradient of h2_tanh: both outputs of a tanh, its gradient and the new one
    wide, stats = up(4 * 512 * 4), up(16)
    assert formula["activations"] == 4 * wide + stats
    assert "workspace" not in formula


def test_accumulation_takes_one_more_gradient_of_the_widest_layer():
    c = case(load_model("mlp"), workers=1, batch=4, microbatch=4)
    once = memory_bytes(c.model, c.training, c.plan)
    twice = memory_bytes(c.model, replace(c.training, batch=8), c.plan)
    widest = max(layer.parameter_count for layer in c.model.layers) * DTYPE_BYTES["float32"]
    assert twice["gradients"] - once["gradients"] == -(-widest // 64) * 64


def test_the_memory_check_shows_a_register_that_the_formula_forgets():
    c = case(workers=2)
    formula = memory_bytes(c.model, c.training, c.plan)
    for name in formula:
        with pytest.raises(AssertionError):
            check_memory(c, c.lower(), {**formula, name: 0})

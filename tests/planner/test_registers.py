"""Memory: the formula, the arena and the graph agree, and what lives fits into them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.layout import CATEGORIES, memory_bytes
from planner.memory import pass_memory
from planner.model import load_model
from planner.opcall import DTYPE_BYTES
from planner.predict import RESIDENT, predict
from planner.program import Program
from planner.registers import worker_registers
from sim.checks import peak_live_bytes, static_bytes
from sim.heap_engine import simulate
from tests.planner_cases import Case, case, cases

pytestmark = pytest.mark.slow

RANDOM = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def check_memory(c: Case, program: Program, formula: dict[str, int]) -> None:
    """Formula and arena are the same bytes, and no more than the registers side by side."""
    assert sum(formula.values()) == program.arena_bytes(0)
    by_device = static_bytes(program.graph)
    for rank, place in enumerate(c.plan.placement):
        assert by_device[place] == sum(r.arena_bytes for r in program.registers[rank])
        assert program.arena_bytes(rank) <= by_device[place]
        assert program.arena_bytes(rank) <= program.arena_bytes(0), "rank 0 is the fullest"


@given(c=cases())
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


@pytest.mark.parametrize("slots", [1, 2, 4, 9])
def test_there_are_as_many_frames_as_slots_and_no_more_than_microbatches(slots):
    c = case(workers=1, batch=8, microbatch=2, activation_slots=slots)
    own, frame = c.lower().layouts[0], frame_bytes(c)
    first = min(own.places[r.name].first_byte for r in own.registers if r.name.endswith(".y"))
    assert own.size_bytes == first + min(slots, 4) * frame


def frame_bytes(c: Case) -> int:
    return pass_memory(c.model, c.training, c.plan).frame_bytes


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

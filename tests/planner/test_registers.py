"""Memory: the formula, the arena and the graph agree, and what lives fits into them."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.model import load_model
from planner.opcall import DTYPE_BYTES
from planner.predict import RESIDENT, predict
from planner.program import Program
from planner.registers import ALIGNMENT_BYTES, memory_bytes, worker_registers
from sim.checks import peak_live_bytes, static_bytes
from sim.heap_engine import simulate
from tests.planner_cases import Case, case, cases

pytestmark = pytest.mark.slow

RANDOM = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
CATEGORIES = {
    "parameters",
    "gradients",
    "optimizer",
    "input",
    "activations",
    "workspace",
    "landing",
}


def check_memory(c: Case, program: Program, formula: dict[str, int]) -> None:
    """Formula, arena and the registers of the graph are the same bytes, device by device."""
    assert sum(formula.values()) == program.arena_bytes(0)
    by_device = static_bytes(program.graph)
    for rank, place in enumerate(c.plan.placement):
        assert by_device[place] == program.arena_bytes(rank)
        assert program.arena_bytes(rank) <= program.arena_bytes(0), "rank 0 is the fullest"


@given(c=cases())
@RANDOM
def test_formula_arena_and_graph_are_the_same_bytes(c):
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
def test_categories_add_up_and_are_the_known_ones(c):
    formula = memory_bytes(c.model, c.training, c.plan)
    assert set(formula) <= CATEGORIES
    registers = worker_registers(c.model, c.training, c.plan, 0)
    for category, total in formula.items():
        assert total == sum(r.arena_bytes for r in registers if r.category == category)
    assert ("landing" in formula) == (c.plan.workers > 1)


@given(c=cases(), slots=st.integers(1, 5))
@RANDOM
def test_more_slots_never_shrink_the_arena(c, slots):
    for field in ("activation_slots", "input_slots", "landing_slots"):
        before = memory_bytes(c.model, c.training, c.plan)
        more = replace(c.plan, **{field: getattr(c.plan, field) + slots})
        after = memory_bytes(c.model, c.training, more)
        assert set(after) == set(before)
        assert all(after[name] >= before[name] for name in before)


@given(c=cases())
@RANDOM
def test_every_slot_is_aligned(c):
    program = c.lower()
    for rank in range(program.ranks):
        assert all(at % ALIGNMENT_BYTES == 0 for at in program.offsets(rank).values())
        assert all(r.stride_bytes % ALIGNMENT_BYTES == 0 for r in program.registers[rank])
        assert all(
            r.slot_bytes <= r.stride_bytes < r.slot_bytes + 64 for r in program.registers[rank]
        )


def test_memory_of_a_perceptron_on_paper():
    c = case(load_model("mlp"), workers=1, batch=4, microbatch=4)
    formula = memory_bytes(c.model, c.training, c.plan)
    up = lambda n: -(-n // 64) * 64  # noqa: E731
    flat = up(301_066 * 4)
    assert formula["parameters"] == formula["gradients"] == formula["optimizer"] == flat
    assert formula["input"] == up(4 * 64 * 4) + up(4 * 8) + up(4 * 65)
    wide, logits = up(4 * 512 * 4), up(4 * 10 * 4)
    outputs, gradients, loss = 4 * wide + logits, 4 * wide, logits + up(16)
    assert formula["activations"] == outputs + gradients + loss
    assert formula["workspace"] == 0


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
        if formula[name]:
            with pytest.raises(AssertionError):
                check_memory(c, c.lower(), {**formula, name: 0})

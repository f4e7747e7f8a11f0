"""Packing: nothing alive at once overlaps, little is lost, and the planner needs no runtime."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.layout import layouts, memory_bytes
from planner.memory import frame, pass_memory, plan_arena_bytes
from planner.model import load_model, model_names
from planner.packing import Lives, alive, pack, tops
from planner.plan import Training
from planner.registers import own_registers, plan_buckets
from tests.conftest import dp
from tests.planner_cases import cases

POSITIONS = 12


@st.composite
def lives(draw: st.DrawFn) -> tuple[Lives, np.ndarray]:
    spans = draw(
        st.lists(
            st.tuples(st.integers(0, POSITIONS - 1), st.integers(0, 6), st.integers(0, 9)),
            min_size=1,
            max_size=14,
        )
    )
    first, length, size = np.array(spans, dtype=np.int64).T
    found = Lives(
        names=tuple(map(str, range(len(spans)))),
        first=first,
        last=np.minimum(first + length, POSITIONS - 1),
        pivot=draw(st.integers(0, POSITIONS - 1)),
        positions=POSITIONS,
    )
    return found, 64 * size


def check_packing(found: Lives, size: np.ndarray, at: np.ndarray) -> None:
    """Byte by line of 64, position by position: a line belongs to one register at most."""
    owner = np.full((POSITIONS, int((at + size).max()) // 64), -1)
    for i in range(len(size)):
        place = owner[found.first[i] : found.last[i] + 1, at[i] // 64 : (at[i] + size[i]) // 64]
        assert (place == -1).all(), "registers that are alive together overlap"
        place[:] = i
    assert (at % 64 == 0).all()


@given(case=lives())
@settings(max_examples=100, deadline=None)
def test_registers_that_are_alive_together_do_not_overlap(case):
    found, size = case
    at = pack(found, size)
    check_packing(found, size, at)
    assert alive(found, size).max() <= (at + size).max() <= size.sum()


def test_an_overlap_is_shown():
    found = Lives(
        names=("a", "b"),
        first=np.array([0, 2]),
        last=np.array([2, 3]),
        pivot=1,
        positions=POSITIONS,
    )
    size = np.array([128, 64])
    check_packing(found, size, pack(found, size))
    with pytest.raises(AssertionError, match="overlap"):
        check_packing(found, size, np.array([0, 64]))


@given(case=lives())
@settings(max_examples=100, deadline=None)
def test_tops_are_the_highest_bytes_in_use_from_a_position_on(case):
    found, size = case
    end = pack(found, size) + size
    for position, top in enumerate(tops(found, end)):
        assert top == max(end[found.last >= position], default=0)


@given(c=cases())
@settings(max_examples=30, deadline=None)
def test_the_composition_of_factors_is_the_largest_arena_of_the_ranks(c):
    arenas = [arena.size_bytes for arena in layouts(c.model, c.training, c.plan)]
    assert plan_arena_bytes(c.model, c.training, c.plan) == max(arenas) == arenas[0]
    assert sum(memory_bytes(c.model, c.training, c.plan).values()) == arenas[0]


@pytest.mark.parametrize("name", sorted(model_names()))
def test_an_arena_is_at_most_a_tenth_larger_than_what_lives_in_it(name):
    model = load_model(name)
    plan, training = dp(1, 2 * model.norm_group), Training(batch=2 * model.norm_group)
    packed = frame(model, training, plan)
    stride = np.array([r.stride_bytes for r in packed.registers])
    own = sum(r.arena_bytes for r in own_registers(model, training, plan))
    peak = int(alive(packed.lives, stride).max())
    assert peak <= packed.size_bytes
    assert own + packed.size_bytes <= 1.10 * (own + peak)
    assert packed.size_bytes <= 1.03 * peak


def test_landing_begins_where_the_passes_have_ended_without_overlap():
    model, plan = load_model("lenet-5"), dp(2, 4, bucket_bytes=100_000)
    training = Training(batch=8)
    cut, memory = plan_buckets(model, training, plan), pass_memory(model, training, plan)
    assert memory.landing_from(cut, overlap=False).free_from.tolist() == [0] * len(cut)
    free = memory.landing_from(cut, overlap=True).free_from
    assert (np.diff(free) <= 0).all()
    assert 0 < free[0] <= memory.frame_bytes
    assert free[-1] == 0, "the last bucket lands when the passes are over"
    apart = plan_arena_bytes(model, training, plan)
    together = plan_arena_bytes(model, training, replace(plan, overlap=True))
    assert apart <= together


def test_the_planner_knows_the_size_of_the_arena_without_the_runtime():
    code = (
        "import sys; from planner.memory import plan_arena_bytes; from planner.model import *;"
        "from planner.plan import Plan, Training;"
        "plan = Plan(workers=2, microbatch=8, placement=(0, 1), algorithm='ring',"
        " bucket_bytes=100_000, overlap=True);"
        "print(plan_arena_bytes(load_model('lenet-5'), Training(batch=32), plan));"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'runtime']"
    )
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout
    from planner.lower import lower
    from runtime.arena import Arena
    from tests.planner_cases import small_machine

    machine, plan = small_machine(2), dp(2, 8, bucket_bytes=100_000, overlap=True)
    model, training = load_model("lenet-5"), Training(batch=32)
    program = lower(model, training, plan, machine.cluster(2), machine.books(2))
    assert Arena(program, 0).size_bytes == int(said)

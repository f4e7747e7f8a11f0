"""Packing: nothing alive at once overlaps, little is lost, and the planner needs no runtime."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.landing import Landing, Room, land
from planner.landings import arrivals
from planner.layout import layouts, memory_bytes
from planner.memory import pass_memory, plan_arena_bytes
from planner.model import ModelGraph, load_model, model_names
from planner.packing import Lives, alive, followed, pack, tops
from planner.plan import Plan, Training
from planner.predict import predict
from planner.registers import plan_buckets
from planner.space import Choices
from tests.conftest import dp
from tests.planner_cases import ALGORITHMS, cases, small_machine

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


@given(case=lives())
@settings(max_examples=100, deadline=None)
def test_a_second_frame_follows_as_soon_as_its_bytes_are_free_and_no_sooner(case):
    found, size = case
    end = pack(found, size) + size
    follows, height = followed(found, end), int(end.max())
    for q in range(POSITIONS):
        used = found.first <= q
        lowest = height - int(end[used].max(initial=0))
        held = lambda p: int(end[found.last > p].max(initial=0))  # noqa: E731
        assert q <= follows[q]
        assert held(follows[q]) <= lowest, "the frame before still needs the bytes"
        if q < found.pivot:
            assert follows[q] == q or held(follows[q] - 1) > lowest, "it may begin earlier"


@st.composite
def rooms(draw: st.DrawFn) -> tuple[Room, np.ndarray]:
    size = draw(st.lists(st.integers(0, 9), min_size=1, max_size=12))
    free = sorted(draw(st.lists(st.integers(0, 20), min_size=len(size), max_size=len(size))))
    filled, kept = max(free) + draw(st.integers(0, 5)), draw(st.integers(0, 200))
    free_from = 64 * np.array(free[::-1], dtype=np.int64)
    room = Room(
        free_from=free_from,
        held_bytes=free_from // draw(st.integers(1, 3)),
        frame_bytes=64 * filled,
        kept_bytes=64 * kept,
    )
    return room, 64 * np.array(size, dtype=np.int64)


def check_landing(room: Room, size: np.ndarray, landing: Landing) -> None:
    """Line by line: who takes the place of an earlier bucket waits for it, or for its heirs."""
    owner = np.full(landing.end // 64, -1)
    waits: list[set[int]] = []
    for b, (at, count) in enumerate(zip(landing.first_byte, size, strict=True)):
        waits.append({w for a in landing.after[b] for w in (a, *waits[a])})
        if count:
            assert room.free_from[b] <= at <= landing.end - count
            lines = owner[at // 64 : (at + count) // 64]
            assert set(lines.tolist()) - {-1} <= waits[b], "buckets share bytes and do not wait"
            lines[:] = b


@given(case=rooms())
@settings(max_examples=150, deadline=None)
def test_buckets_wait_for_those_on_whose_bytes_they_land(case):
    room, size = case
    landing = land(room, size)
    check_landing(room, size, landing)
    apart = int((room.free_from + np.cumsum(size)).max())
    assert (
        landing.end
        == max(room.frame_bytes, int(room.top(np.cumsum(size))))
        <= max(apart, room.frame_bytes)
    )
    if landing.end >= apart:
        assert not any(landing.after), "there is room for all of them"
    assert size.max() <= landing.most_bytes[-1] <= landing.end


def test_a_bucket_that_does_not_wait_is_shown():
    nothing = np.zeros(3, dtype=np.int64)
    room = Room(free_from=nothing, held_bytes=nothing, frame_bytes=128, kept_bytes=0)
    size = np.array([128, 64, 128])
    landing = land(room, size)
    assert landing.after == ((), (0,), (0, 1))
    check_landing(room, size, landing)
    with pytest.raises(AssertionError, match="do not wait"):
        check_landing(room, size, replace(landing, after=((), (0,), ())))


def waits(name: str, training: Training, plan: Plan) -> bool:
    """Whether some bucket lands on the bytes of another one."""
    found = layouts(load_model(name), training, plan)
    return any(after for arena in found for after in arena.landing_after)


@pytest.mark.parametrize("landing_slots", [1, 2])
@pytest.mark.parametrize("name", ["ring", "tree", "double_binary_tree"])
def test_few_large_buckets_lie_side_by_side(name, landing_slots, monkeypatch):
    """Waiting for one another would cost AlexNet a fifth of a step on a slow network."""
    plan, training = dp(4, 1, name, 4 << 20, True, landing_slots=landing_slots), Training(batch=4)
    assert not waits("alexnet", training, plan)
    if name == "tree":
        monkeypatch.setattr("planner.landing.CHEAP_FRAC", 0)
        monkeypatch.setattr("planner.landing.WORTH_FRAC", 0)
        assert waits("alexnet", training, plan)


@pytest.mark.parametrize("name", ["star", "tree"])
def test_many_small_buckets_wait_and_lose_no_time(name, monkeypatch):
    plan = dp(3, 2, name, 1 << 16, True, activation_slots=2, landing_slots=2)
    model, training, machine = load_model("gpt-nano"), Training(batch=12), small_machine(3)
    assert waits("gpt-nano", training, plan)
    step_s = predict(model, training, plan, machine)[0].step_s
    monkeypatch.setattr("planner.landing.SLACK_FRAC", 9)
    assert not waits("gpt-nano", training, plan)
    assert step_s == predict(model, training, plan, machine)[0].step_s


@given(c=cases())
@settings(max_examples=30, deadline=None)
def test_the_composition_of_factors_is_the_largest_arena_of_the_ranks(c):
    arenas = [arena.size_bytes for arena in layouts(c.model, c.training, c.plan)]
    assert plan_arena_bytes(c.model, c.training, c.plan) == max(arenas) == arenas[0]
    assert sum(memory_bytes(c.model, c.training, c.plan).values()) == arenas[0]


RUNNABLE = [
    "mlp",
    "lenet-5",
    "cifar10-quick",
    "alexnet-cifar",
    "resnet-20",
    "resnet-18",
    "gpt-nano",
    "squeezenet",
    "googlenet",
    "alexnet",
]


def check_waste(memory: dict[str, int], most: float) -> None:
    """Of what may be alive in some legal order, the arena is hardly larger."""
    arena = sum(memory.values())
    assert arena <= most * (arena - memory.get("gaps", 0)), "the arena wastes too much"


@st.composite
def wholes(draw: st.DrawFn) -> tuple[ModelGraph, Training, Plan]:
    """A model that runs on one machine, under any plan of up to four workers."""
    model = load_model(draw(st.sampled_from(RUNNABLE)))
    workers = draw(st.integers(1, 4))
    name = draw(st.sampled_from(ALGORITHMS)) if workers > 1 else "none"
    used = arrivals(name, workers) if workers > 1 else 1
    plan = dp(
        workers,
        max(model.norm_group, draw(st.sampled_from([1, 4, 32]))),
        name,
        draw(st.sampled_from([4, *Choices().bucket_bytes, 1 << 40])),
        workers > 1 and draw(st.booleans()),
        activation_slots=draw(st.integers(1, 3)),
        landing_slots=draw(st.integers(1, min(2, used))),
    )
    rounds = draw(st.integers(1, 4))
    return model, Training(batch=workers * plan.microbatch * rounds), plan


@given(case=wholes())
@settings(max_examples=25, deadline=None)
def test_an_arena_is_at_most_a_tenth_larger_than_what_may_live_in_it(case):
    check_waste(memory_bytes(*case), 1.10)


@pytest.mark.parametrize("name", sorted(model_names()))
def test_so_it_is_for_every_shipped_model(name):
    model = load_model(name)
    plan = dp(4, model.norm_group, "star", 25 << 20, True, activation_slots=2)
    memory = memory_bytes(model, Training(batch=8 * model.norm_group), plan)
    check_waste(memory, 1.10)
    with pytest.raises(AssertionError, match="wastes"):
        check_waste(memory | {"gaps": sum(memory.values()) // 8}, 1.10)


@given(
    name=st.sampled_from(["mlp", "lenet-5", "gpt-nano", "cifar10-quick"]),
    workers=st.integers(1, 4),
    microbatch=st.sampled_from([1, 16]),
    rounds=st.integers(1, 3),
    exchange=st.sampled_from(ALGORITHMS),
    slots=st.integers(1, 3),
)
@settings(max_examples=12, deadline=None)
def test_without_overlap_a_simulated_step_fills_its_arena(
    name, workers, microbatch, rounds, exchange, slots
):
    """With overlap landing registers may, but need not, be alive beside activations."""
    plan = dp(workers, microbatch, exchange, 100_000, activation_slots=slots)
    training = Training(batch=workers * microbatch * rounds)
    assert predict(load_model(name), training, plan, small_machine(4))[0].waste <= 1.10


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

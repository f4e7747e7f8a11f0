"""Programs: who sees what, where views lie, and that no two tasks touch the same bytes at once."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofiles.errors import DeadlockError
from planner.algorithms import algorithm
from planner.collectives.base import traffic
from planner.cost import estimate
from planner.layout import memory_bytes
from planner.model import load_model
from planner.opcall import DTYPE_BYTES
from planner.plan import Training, parameter_offsets
from planner.program import ComputeTask, Program, TransferTask, View
from planner.registers import ALIGNMENT_BYTES, plan_buckets
from sim import simpy_engine
from sim.checks import check_graph
from sim.heap_engine import simulate
from tests.oracles import validate_timeline
from tests.planner_cases import (
    ALGORITHMS,
    Case,
    branched_models,
    case,
    cases,
    small_machine,
    tiny_convnet,
    without_dependency,
)

pytestmark = pytest.mark.slow

RANDOM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def size_of(view: View) -> int:
    size = DTYPE_BYTES[view.dtype]
    for n in view.shape:
        size *= n
    return size


def placed(program: Program):
    """Yield (task, rank, view, is it read, is it written)."""
    for t, info in enumerate(program.tasks):
        if isinstance(info, TransferTask):
            yield t, info.src, info.source, True, False
            yield t, info.dst, info.target, False, True
            continue
        call = info.call
        for view, tensor in zip(info.views, call.tensors, strict=True):
            assert (view.shape, view.dtype) == (tensor.shape, tensor.dtype)
            writes = tensor not in call.reads
            yield t, info.rank, view, tensor not in call.writes, writes


# Who sees what


def check_visible(program: Program) -> None:
    for t, info in enumerate(program.tasks):
        for d in program.graph.row("dep", t):
            shared = set(program.tasks[d].ranks) & set(info.ranks)
            assert shared, f"{program.label(t)} cannot know when {program.label(d)} is done"


def test_a_dependency_on_another_rank_is_shown():
    program = case(workers=2, batch=4).lower()
    graph, other = program.graph, program.of_rank(1)[0]
    last = graph.tasks - 1
    assert other not in program.of_rank(0)
    assert program.tasks[last].ranks == (1,)
    swapped = list(program.tasks)
    first = next(d for d in graph.row("dep", last) if program.tasks[d].ranks == (1,))
    swapped[first] = replace(swapped[first], rank=0)
    with pytest.raises(AssertionError, match="cannot know"):
        check_visible(replace(program, tasks=tuple(swapped)))


# Where views lie


def check_views(program: Program) -> None:
    for _, rank, view, _, _ in placed(program):
        register = next(r for r in program.registers[rank] if r.name == view.register)
        assert 0 <= view.slot < register.slots
        assert view.offset_bytes >= 0
        assert view.offset_bytes + size_of(view) <= register.slot_bytes, view
    for layout in program.layouts:
        ends = []
        for register in layout.registers:
            place = layout.places[register.name]
            assert place.first_byte % ALIGNMENT_BYTES == place.step_bytes % ALIGNMENT_BYTES == 0
            last = place.first_byte + max(0, register.slots - 1) * place.step_bytes
            ends.append(max(place.first_byte, last) + register.stride_bytes)
        assert max(ends) == layout.size_bytes
        assert len(layout.places) == len(layout.registers)


def check_ends(program: Program) -> None:
    for t, info in enumerate(program.tasks):
        if isinstance(info, TransferTask):
            assert info.src != info.dst
            assert size_of(info.source) == size_of(info.target) == program.graph.payload_bytes[t]


@pytest.mark.parametrize("change", [{"slot": 1}, {"offset_bytes": 4}, {"offset_bytes": -4}])
def test_a_view_outside_its_slot_is_shown(change):
    program = case(workers=2).lower()
    task = next(t for t, info in enumerate(program.tasks) if info.name == "c1")
    tasks = list(program.tasks)
    tasks[task] = replace(tasks[task], views=(replace(tasks[task].views[0], **change),) * 5)
    with pytest.raises(AssertionError):
        check_views(replace(program, tasks=tuple(tasks)))


# Turns and slots


def turns(program: Program) -> dict[int, list[int]]:
    """Writers of each register of the graph, in program order."""
    found: dict[int, list[int]] = defaultdict(list)
    for t in range(program.graph.tasks):
        for register in program.graph.row("out", t):
            found[register].append(t)
    return found


def written_slots(program: Program) -> dict[tuple[int, int, str], set[int]]:
    """By task, rank and register: the slots that are written."""
    found: dict[tuple[int, int, str], set[int]] = defaultdict(set)
    for t, at, view, _, writes in placed(program):
        if writes:
            found[t, at, view.register].add(view.slot)
    return found


def check_turns(program: Program) -> None:
    """The k-th firing of an actor uses slot k modulo slots, and follows the one before it.

    Partial gradients begin with firing 1: the first microbatch writes where the others are added.
    """
    slots_of = written_slots(program)
    for register, writers in turns(program).items():
        name, _, rank = program.register_names[register].rpartition("@")
        slots = int(program.graph.register_slots[register])
        for k, task in enumerate(writers, start=name.endswith(".partial")):
            assert slots_of[task, int(rank), name] == {k % slots}
        for before, after in pairwise(writers):
            assert before in program.graph.row("dep", after), "writers may overtake each other"


small_models = st.one_of(st.just(tiny_convnet()), branched_models())


@given(c=cases(), model=small_models)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_slots_are_taken_in_turn(c, model):
    check_turns(replace(c, model=model).lower())


def test_a_writer_that_may_overtake_is_shown():
    program = case(workers=1, batch=6, activation_slots=2).lower()
    writers = next(w for w in turns(program).values() if len(w) == 3)
    graph = without_dependency(program.graph, writers[2], writers[1])
    with pytest.raises(AssertionError, match="overtake"):
        check_turns(replace(program, graph=graph))


# What is in a program


def check_tasks(c: Case, program: Program) -> None:
    model, plan = c.model, c.plan
    rounds, cut = plan.microbatches(c.training.batch), plan_buckets(model, c.training, plan)
    trained = sum(1 for layer in model.layers if layer.is_trained)
    own = sum(1 for layer in model.layers if layer.parameters)
    gradients = sum(model.needs_input_grad)
    sums = sum(max(0, len(parts) - 1) for parts in model.wiring.parts)
    once = 1 + len(model.layers) + 1 + trained + gradients + sums
    names = Counter("transfer" if isinstance(t, TransferTask) else t.phase for t in program.tasks)
    n = plan.workers
    passes = names["load"] + names["forward"] + names["backward"]
    assert passes == n * (rounds * once + (rounds - 1) * own)
    assert names["update"] == n * len(cut)
    moved = [traffic(algorithm(plan.algorithm).emit, b.elements, n) for b in cut if n > 1]
    assert names["transfer"] == sum(x.sends.total() for x in moved)
    assert names["exchange"] == sum(x.adds.total() for x in moved)
    assert len(program.tasks) == program.graph.tasks


@given(c=cases())
@RANDOM
def test_a_program_is_what_its_plan_says(c):
    """Dependencies are seen by who runs the task, views lie inside, transfers have two equal ends.

    Its tasks are those of microbatches, exchanges and updates, and equal inputs give equal hashes.
    """
    program = c.lower()
    check_visible(program)
    check_views(program)
    check_ends(program)
    check_tasks(c, program)
    assert program.graph.sha256() == c.lower().graph.sha256()


@given(c=cases(), model=small_models)
@RANDOM
def test_program_is_well_formed_its_timeline_valid_and_the_same_on_both_engines(c, model):
    graph = replace(c, model=model).lower().graph
    check_graph(graph)
    heap, simpy = simulate(graph), simpy_engine.simulate(graph)
    if graph.tasks < 120:
        validate_timeline(graph, heap)
    assert heap.start_ps.tolist() == simpy.start_ps.tolist()
    assert heap.end_ps.tolist() == simpy.end_ps.tolist()


@pytest.mark.parametrize("name", ["resnet-18", "googlenet", "se-resnet-50", "densenet-121"])
def test_both_engines_agree_on_a_step_of(name):
    model = load_model(name)
    c = case(model, workers=2, microbatch=32, batch=64, overlap=True, bucket_bytes=25 << 20)
    program = c.lower()
    heap, simpy = simulate(program.graph), simpy_engine.simulate(program.graph)
    assert heap.start_ps.tolist() == simpy.start_ps.tolist()
    assert heap.end_ps.tolist() == simpy.end_ps.tolist()
    assert heap.makespan_ps >= closed_form_ps(c)
    assert sum(memory_bytes(model, c.training, c.plan).values()) == program.arena_bytes(0)


def closed_form_ps(c: Case) -> int:
    return estimate(c.model, c.training, c.plan, c.cluster, c.books).closed_form_ps


def test_every_field_of_a_plan_changes_the_hash():
    c = case(workers=3, batch=24, microbatch=2, algorithm="star", bucket_bytes=200, overlap=True)
    changes = [
        {"workers": 2, "placement": (0, 1)},
        {"microbatch": 4},
        {"placement": (3, 1, 0)},
        {"algorithm": "ring"},
        {"bucket_bytes": 1 << 20},
        {"overlap": False},
        {"input_slots": 2},
        {"activation_slots": 2},
        {"landing_slots": 2},
        {"decode_workers": 2},
        {"decode_workers": 2, "prefetch": 3},
        {"decode_workers": 2, "decode_cores": 3},
    ]
    assert {key for change in changes for key in change} == set(c.plan.__dataclass_fields__)
    plans = [c.plan, *(replace(c.plan, **change) for change in changes)]
    hashes = {replace(c, plan=plan).lower().graph.sha256() for plan in plans}
    assert len(hashes) == len(plans)


def test_ranks_are_placed_on_the_devices_of_the_plan():
    program = case(workers=3, placement=(3, 0, 1)).lower()
    for t, info in enumerate(program.tasks):
        lanes = program.graph.row("lane", t)
        devices = {int(program.graph.lane_device[lane]) for lane in lanes}
        assert devices == {(3, 0, 1)[rank] for rank in info.ranks}


@pytest.mark.parametrize("holds", [False, True])
def test_transfers_hold_the_compute_lane_only_where_the_device_says_so(holds):
    program = case(machine=small_machine(3, holds=holds), workers=2).lower()
    computes, moves = set(), set()
    for t, info in enumerate(program.tasks):
        lanes = set(program.graph.row("lane", t))
        if isinstance(info, TransferTask):
            moves |= lanes
        elif info.phase != "load":
            computes |= lanes
    assert (moves == computes) if holds else not (moves & computes)


@pytest.mark.parametrize("field", ["input_slots", "activation_slots", "landing_slots"])
def test_a_plan_without_slots_is_refused_before_it_runs(field):
    c = case(workers=2, **{field: 0})
    with pytest.raises(DeadlockError, match=r"has too few slots"):
        check_graph(c.lower().graph)


@given(workers=st.integers(2, 4), name=st.sampled_from(ALGORITHMS))
@RANDOM
def test_landings_are_as_wide_as_the_algorithm_says(workers, name):
    c = case(workers=workers, algorithm=name, batch=2 * workers, bucket_bytes=4)
    program = c.lower()
    for rank, registers in enumerate(program.registers):
        by_name = {r.name: r for r in registers}
        for number, bucket in enumerate(plan_buckets(c.model, c.training, c.plan)):
            moved = traffic(algorithm(name).emit, bucket.elements, workers)
            landing = by_name.get(f"landing.{number}")
            assert (landing.slot_bytes if landing else 0) == 4 * moved.landing_elements(rank)


def test_gradients_of_a_layer_lie_where_the_offsets_say():
    model = load_model("lenet-5")
    c = Case(model=model, training=Training(batch=4), plan=case().plan, machine=small_machine(4))
    offsets = parameter_offsets(model)
    for info in c.lower().tasks:
        if isinstance(info, ComputeTask) and info.name.endswith(".weight_grad"):
            view = info.views[[t.name for t in info.call.tensors].index("dw")]
            if view.register != "gradients":
                continue
            names = [f"{layer.name}.weight_grad" for layer in model.layers]
            layer = names.index(info.name)
            assert view.offset_bytes == 4 * offsets[layer]

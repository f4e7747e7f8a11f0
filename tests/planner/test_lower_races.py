"""No two tasks of a step touch the same bytes at once, and no dependency is there in vain."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from planner.build import BlockBuilder, Value
from planner.layer import INPUT
from planner.model import Block, ModelGraph
from planner.program import Program
from sim.taskgraph import TaskGraph
from tests.planner.test_lower import placed, size_of, small_models
from tests.planner_cases import (
    ALGORITHMS,
    case,
    cases,
    without_dependency,
)

pytestmark = pytest.mark.slow


def before_masks(graph: TaskGraph) -> list[int]:
    """Bit ``b`` of row ``a``: task ``b`` is over before ``a`` starts, by dependencies and slots.

    Slots return in the order they were taken (asserted at the end), so the k-th writer of a
    register with s slots starts after all readers of the item written k - s turns before.
    """
    readers = graph.item_readers()
    items: dict[int, list[int]] = defaultdict(list)
    masks: list[int] = []
    for t in range(graph.tasks):
        follows = set(graph.row("dep", t))
        for item in range(int(graph.out_ptr[t]), int(graph.out_ptr[t + 1])):
            register = int(graph.out_idx[item])
            slots = int(graph.register_slots[register])
            items[register].append(item)
            if len(items[register]) > slots:
                old = items[register][-1 - slots]
                follows |= set(readers[old] or [int(graph.item_task()[old])])
        assert all(f < t for f in follows), "a slot returns only after its next writer"
        mask = 0
        for f in follows:
            mask |= masks[f] | 1 << f
        masks.append(mask)
    for register_items in items.values():
        for old, new in pairwise(register_items):
            for reader in readers[old]:
                after = readers[new] or [int(graph.item_task()[new])]
                in_turn = any(r == reader or masks[r] >> reader & 1 for r in after)
                assert in_turn, f"an item of register {graph.out_idx[new]} may outlive the next"
    return masks


def check_races(program: Program) -> int:
    """Of two tasks that touch the same bytes, one of them writing, one is over before the other.

    Return how many such pairs there are.
    """
    masks = before_masks(program.graph)
    touched: dict[int, list[tuple[int, int, int, bool]]] = defaultdict(list)
    for t, rank, view, _, writes in placed(program):
        place = program.layouts[rank].places[view.register]
        start = place.first_byte + view.slot * place.step_bytes + view.offset_bytes
        touched[rank].append((start, start + size_of(view), t, writes))
    pairs = 0
    for spans in touched.values():
        for i, (a, a_end, s, s_writes) in enumerate(spans):
            for b, b_end, t, t_writes in spans[i + 1 :]:
                if s == t or not (s_writes or t_writes) or a_end <= b or b_end <= a:
                    continue
                pairs += 1
                first, last = sorted((s, t))
                assert masks[last] >> first & 1, (
                    f"{program.label(first)} and {program.label(last)} race"
                )
    return pairs


@given(c=cases(), model=small_models)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_two_tasks_touch_the_same_bytes_at_once(c, model):
    assert check_races(replace(c, model=model).lower()) > 0


def forked() -> ModelGraph:
    """A convolution read by a pool and then by a ReLU that writes over it; both are added.

    The pool has no workspace, which would put it in turn with the ReLU.
    """
    b = BlockBuilder(Value(INPUT, (2, 4, 4)))
    c = b.conv("c", b.input, 2, 3, pad=1)
    d = b.layer("d", "avg_pool", c, window=3, stride=1, pad=1)
    joined = b.layer("a", "add", d, b.layer("r", "relu", c))
    b.layer("out", "linear", b.layer("flat", "flatten", joined), features=3)
    block = Block(name="", layers=tuple(b.layers))
    return ModelGraph(name="forked", blocks=(block,), record_shape=(4, 4), classes=3)


@pytest.mark.parametrize(
    ("task", "on"),
    [
        ("r", "d"),  # writes over what d reads
        ("a", "r"),  # reads what r wrote over c
        ("c.sum", "d.input_grad"),
        ("c.weight_grad", "c.sum"),
    ],
)
def test_every_dependency_of_work_in_place_is_needed(task, on):
    program = case(forked(), workers=1, batch=2).lower()
    check_races(program)
    names = [info.name for info in program.tasks]
    graph = without_dependency(program.graph, names.index(task), names.index(on))
    with pytest.raises(AssertionError, match="race"):
        check_races(replace(program, graph=graph))


def gated() -> ModelGraph:
    """Maps that are scaled in place, by factors that nothing but that reads: none is trained."""
    b = BlockBuilder(Value(INPUT, (2, 4, 4)))
    s = b.layer("s", "sigmoid", b.layer("squeeze", "avg_pool", b.input, window=4))
    scaled = b.layer("g", "gate", b.layer("d", "dropout", b.input), s)
    b.layer("out", "linear", b.layer("flat", "flatten", scaled), features=3)
    block = Block(name="", layers=tuple(b.layers))
    return ModelGraph(name="gated", blocks=(block,), record_shape=(4, 4), classes=3)


def test_work_in_place_gives_back_what_else_it_reads_in_turn():
    fields = {"workers": 1, "batch": 3, "microbatch": 1, "activation_slots": 2, "input_slots": 2}
    program = case(gated(), **fields).lower()
    check_races(program)
    graph = program.graph
    for t, info in enumerate(program.tasks):
        if info.microbatch == 1 and info.phase == "forward":
            for before in graph.row("dep", t):
                if program.tasks[before].microbatch == 0:
                    graph = without_dependency(graph, t, before)
    with pytest.raises(AssertionError, match="may outlive the next"):
        check_races(replace(program, graph=graph))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_dependency_of_an_update_on_a_reader_is_needed(algorithm):
    c = case(workers=3, batch=6, algorithm=algorithm, overlap=True, bucket_bytes=4)
    program = c.lower()
    check_races(program)
    dropped = 0
    for t, info in enumerate(program.tasks):
        for d in program.graph.row("dep", t):
            other = program.tasks[d]
            if info.phase == "update" and other.name.endswith("input_grad"):
                dropped += 1
                hasty = without_dependency(program.graph, t, d)
                with pytest.raises(AssertionError, match="race"):
                    check_races(replace(program, graph=hasty))
    assert dropped == 3 * 2  # on each rank, the input gradients of two linear layers


def test_additions_that_may_overtake_each_other_are_shown():
    program = case(workers=4, batch=8, algorithm="ring", landing_slots=2).lower()
    check_races(program)
    adds = [t for t, i in enumerate(program.tasks) if i.phase == "exchange" and i.ranks == (0,)]
    graph = without_dependency(program.graph, adds[1], adds[0])
    with pytest.raises(AssertionError, match="may outlive the next"):
        check_races(replace(program, graph=graph))

"""A whole program, run with the real kernels in any legal order, trains as one worker does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from planner.build import BlockBuilder, Value
from planner.layer import INPUT
from planner.model import Block, ModelGraph, load_model
from planner.plan import Training, parameter_offsets
from planner.program import ComputeTask, Program, TransferTask, View
from runtime.arena import Arena
from runtime.initial import initial_parameters
from runtime.kernels import Stream, changing, kernel
from tests.planner_cases import (
    ALGORITHMS,
    Case,
    case,
    legal_order,
    tiny_convnet,
    tiny_decoder,
    tiny_encoder,
    tiny_translator,
    without_dependency,
)

pytestmark = pytest.mark.slow

STEPS = 2
EPS_TIMES = 64
"""Two ways to sum a few hundred terms differ by less than this many eps of the largest one."""


@cache
def records(model: ModelGraph, batch: int) -> np.ndarray:
    """Random records of ``STEPS`` batches: a label, then pixels of 0 to 16; or texts."""
    rng = np.random.default_rng(7)
    found = rng.integers(0, 17, (STEPS * batch, model.record_bytes), dtype=np.uint8)
    if not model.next_token:
        found[:, 0] = rng.integers(0, model.logit_shapes[0][-1], len(found))
    if model.other_heads:  # labels, words, which sentence each is of, positions of the masked ones
        found[:, 11:19] %= 2
        found[:, 19:] %= 8
    return found


class World:
    """All ranks of a program in one process: an arena each, transfers are copies."""

    def __init__(self, c: Case, program: Program) -> None:
        self.case, self.program = c, program
        self.arenas = [Arena(program, rank) for rank in range(program.ranks)]
        self.fires = [self.bound(task) for task in program.tasks]
        self.begin()

    def begin(self) -> None:
        """Set the first parameters, and everything else to zero."""
        self.step, c, at = 0, self.case, 0
        for arena in self.arenas:
            arena.fill(0)
        flat = initial_parameters(c.model, c.training.dtype, c.training.seed)
        for i, offset in sorted(parameter_offsets(c.model).items()):
            count = c.model.layers[i].parameter_count
            for rank in range(self.program.ranks):
                self.flat("parameters", rank)[offset : offset + count] = flat[at : at + count]
            at += count

    def flat(self, register: str, rank: int) -> np.ndarray:
        shape = (self.case.model.parameter_count,)
        dtype = self.case.training.dtype
        view = View(register=register, slot=0, offset_bytes=0, shape=shape, dtype=dtype)
        return self.arenas[rank].view(view)

    def bound(self, task: ComputeTask | TransferTask) -> Callable[[], object]:
        if isinstance(task, TransferTask):
            source = self.arenas[task.src].view(task.source)
            return partial(np.copyto, self.arenas[task.dst].view(task.target), source)
        settings: dict[str, Any] = dict((*task.call.attrs, *task.call.settings))
        now = {
            "fetch": partial(self.fetch, task.rank, task.microbatch),
            "stream": partial(self.stream, task),
            "step": lambda: self.step,
        }
        settings |= {name: now[name] for name in changing(task.call.kernel)}
        arrays = [self.arenas[task.rank].view(view) for view in task.views]
        return partial(kernel(task.call.kernel), *arrays, **settings)

    def fetch(self, rank: int, number: int, raw: np.ndarray) -> None:
        batch = self.case.training.batch
        first = self.step * batch + self.place(rank, number)
        raw[:] = records(self.case.model, batch)[first : first + len(raw)]

    def place(self, rank: int, number: int) -> int:
        """Where the first sample of a microbatch stands in the global batch."""
        plan = self.case.plan
        return rank * (self.case.training.batch // plan.workers) + number * plan.microbatch

    def stream(self, task: ComputeTask) -> Stream:
        first = self.place(task.rank, task.microbatch)
        return Stream(self.case.training.seed, self.step, crc32(task.name.encode()), first)

    def run(self, order: Sequence[int]) -> None:
        for task in order:
            self.fires[task]()
        self.step += 1


def trained(world: World, seed: int, put_off: int = -1) -> np.ndarray:
    """Parameters of every rank after two steps in a random legal order, shape (ranks, E)."""
    program = world.program
    world.begin()
    for step in range(STEPS):
        world.run(list(legal_order(program.graph, seed + 4 * step, put_off)))
    assert all(arena.is_intact for arena in world.arenas)
    return np.stack([world.flat("parameters", rank) for rank in range(program.ranks)])


@cache
def by_one_worker(model: ModelGraph, training: Training) -> np.ndarray:
    """Return what one worker makes of the whole batch at once, which no exchange touches."""
    alone = replace(case(model, workers=1, microbatch=training.batch), training=training)
    return trained(World(alone, alone.lower()), 3)[0]


def check_values(
    c: Case, seeds: Sequence[int], program: Program | None = None, put_off: int = -1
) -> None:
    world = World(c, program or c.lower())
    first = trained(world, seeds[0], put_off)
    for seed in seeds[1:]:
        other = trained(world, seed, put_off)
        np.testing.assert_array_equal(other, first, "orders differ")
    np.testing.assert_array_equal(first, np.tile(first[0], (len(first), 1)), "ranks differ")
    alone = by_one_worker(c.model, c.training)
    world.begin()
    moved = np.abs(alone - world.flat("parameters", 0)).max()
    assert moved > 1e-3, "two steps change parameters by far more than the tolerance"
    room = EPS_TIMES * np.finfo(c.training.dtype).eps * np.abs(alone).max()
    np.testing.assert_allclose(first[0], alone, rtol=0, atol=room)


def tiny(workers: int, rounds: int, **fields: object) -> Case:
    fields = {"bucket_bytes": 1 << 30, **fields}
    batch = 12 if rounds in (1, 3) else 24  # divides by 1-4 workers and 1-4 rounds, all but 3 x 4
    if batch % (workers * rounds):
        batch = 48
    return case(
        tiny_convnet(),
        workers=workers,
        batch=batch,
        microbatch=batch // (workers * rounds),
        dtype="float64",
        **fields,
    )


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_any_plan_in_any_order_trains_as_one_worker(workers, rounds, algorithm, overlap):
    c = tiny(workers, rounds, algorithm=algorithm, overlap=overlap, bucket_bytes=8 * 20)
    check_values(c, range(4))


@pytest.mark.parametrize(
    "algorithm",
    ["hierarchical:2", "hierarchical_halving:2", "torus:2x2", "double_binary_tree@20@ring"],
)
def test_an_exchange_with_numbers_trains_as_one_worker(algorithm):
    check_values(tiny(4, 2, algorithm=algorithm, overlap=True, bucket_bytes=8 * 20), range(4))


@pytest.mark.parametrize("rounds", [2, 3, 4])
def test_one_worker_in_any_order_accumulates_to_the_whole_batch(rounds):
    check_values(tiny(1, rounds), range(6))


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize(("workers", "rounds"), [(2, 3), (2, 4), (4, 3)])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_slots_change_no_value(slots, workers, rounds, algorithm):
    c = tiny(
        workers,
        rounds,
        algorithm=algorithm,
        overlap=True,
        bucket_bytes=8 * 20,
        input_slots=slots,
        activation_slots=slots,
        landing_slots=slots,
    )
    check_values(c, range(12))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_lenet_5_on_three_workers_trains_as_one(algorithm):
    c = case(
        load_model("lenet-5"),
        workers=3,
        batch=12,
        dtype="float64",
        algorithm=algorithm,
        overlap=True,
        bucket_bytes=1 << 16,
    )
    check_values(c, range(4))


def branched() -> ModelGraph:
    """Branches, work in place and workspaces of all kinds that convnets are made of."""
    b = BlockBuilder(Value(INPUT, (2, 4, 4)))
    maps = b.conv("c", b.input, 4, 3, pad=1, groups=2, bias=0)
    relu = b.layer("r", "relu", b.layer("n", "batch_norm", maps, group=1))
    factors = b.layer("s", "sigmoid", b.layer("squeeze", "avg_pool", relu, window=4))
    dropped = b.layer("drop", "dropout", b.conv("d", relu, 4, 1), percent=30)
    both = b.layer("a", "add", relu, b.layer("g", "gate", dropped, factors))
    pool = b.layer("p", "max_pool", both, window=3, stride=1, pad=1)
    joined = b.layer("join", "concat", pool, b.layer("l", "lrn", both))
    b.layer("out", "linear", b.layer("flat", "flatten", joined), features=3)
    block = Block(name="", layers=tuple(b.layers))
    return ModelGraph(name="branched", blocks=(block,), record_shape=(4, 4), classes=3)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(
    ("workers", "microbatch", "algorithm"), [(1, 4, "none"), (2, 3, "ring"), (3, 1, "star")]
)
def test_branches_and_work_in_place_train_as_one_worker(workers, microbatch, algorithm, slots):
    c = case(
        branched(),
        workers=workers,
        batch=12,
        microbatch=microbatch,
        dtype="float64",
        algorithm=algorithm,
        overlap=True,
        bucket_bytes=8 * 20,
        input_slots=slots,
        activation_slots=slots,
    )
    check_values(c, range(4))


TEXTS = [tiny_decoder(), tiny_encoder(), tiny_translator()]


@pytest.mark.parametrize("model", TEXTS, ids=lambda x: x.name)
@pytest.mark.parametrize(
    ("workers", "microbatch", "algorithm", "slots"),
    [(1, 4, "none", 1), (2, 3, "ring", 2), (3, 4, "star", 1)],
)
def test_texts_with_tied_tables_train_as_on_one_worker(
    model, workers, microbatch, algorithm, slots
):
    c = case(
        model,
        workers=workers,
        batch=12,
        microbatch=microbatch,
        dtype="float64",
        algorithm=algorithm,
        overlap=True,
        bucket_bytes=8 * 20,
        activation_slots=slots,
    )
    check_values(c, range(2))


@pytest.mark.parametrize(("workers", "rounds"), [(1, 3), (2, 2), (3, 1), (4, 2)])
def test_adamw_trains_as_on_one_worker(workers, rounds, adamw):
    c = tiny(workers, rounds, algorithm="ring" if workers > 1 else "none", bucket_bytes=8 * 20)
    check_values(replace(c, training=replace(c.training, **adamw)), range(3))


def test_single_precision_differs_by_its_own_rounding():
    c = tiny(3, 2)
    check_values(replace(c, training=replace(c.training, dtype="float32")), range(4))


# Freed registers are poisoned


def poisoned(c: Case, seed: int, program: Program) -> np.ndarray:
    """As ``trained``, but every item is overwritten with NaN as soon as its last reader is done."""
    world, graph = World(c, program), program.graph
    slots, readers = program.item_slots(), [set(row) for row in graph.item_readers()]
    names = [name.rpartition("@") for name in program.register_names]
    for step in range(STEPS):
        left = [set(row) for row in readers]
        for task in legal_order(graph, seed + 4 * step):
            world.fires[task]()
            own = range(int(graph.out_ptr[task]), int(graph.out_ptr[task + 1]))
            for item in {*graph.row("in", task), *own}:
                left[item].discard(task)
                name, _, rank = names[graph.out_idx[item]]
                if not left[item]:
                    world.arenas[int(rank)].slot(name, int(slots[item]))[:] = 0xFF
        world.step += 1
    return np.stack([world.flat("parameters", rank) for rank in range(program.ranks)])


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(("workers", "algorithm"), [(1, "none"), (2, "star"), (3, "ring")])
def test_poison_in_freed_registers_changes_no_bit_in_any_order(workers, algorithm, slots):
    fields = {"overlap": workers > 1, "bucket_bytes": 8 * 20, "activation_slots": slots}
    c = case(branched(), workers=workers, batch=12, microbatch=2, algorithm=algorithm, **fields)
    program = c.lower()
    for seed in range(3):
        np.testing.assert_array_equal(poisoned(c, seed, program), trained(World(c, program), seed))


def test_a_register_that_is_freed_too_early_is_caught_by_poison():
    program = tiny(1, 2).lower()
    graph, late = program.graph, find(program, "c1_tanh.input_grad")[0]
    ptr = graph.in_ptr.copy()
    ptr[late + 1 :] -= 1
    hasty = replace(graph, in_ptr=ptr, in_idx=np.delete(graph.in_idx, ptr[late]))
    early = replace(program, graph=hasty)
    assert np.isnan(poisoned(tiny(1, 2), 1, early)).any()


# The oracle, shown to fail


def wrong_at(program: Program, task: int, view: int, **changes: object) -> Program:
    """Return the program in which one view of a compute task is another one."""
    info = program.tasks[task]
    assert isinstance(info, ComputeTask)
    views = list(info.views)
    views[view] = replace(views[view], **changes)
    tasks = list(program.tasks)
    tasks[task] = replace(info, views=tuple(views))
    return replace(program, tasks=tuple(tasks))


def is_caught(c: Case, program: Program, put_off: int = -1) -> bool:
    try:
        check_values(c, range(8), program, put_off)
    except AssertionError:
        return True
    return False


def find(program: Program, name: str, **fields: object) -> list[int]:
    return [
        i
        for i, task in enumerate(program.tasks)
        if task.name == name and all(getattr(task, k) == v for k, v in fields.items())
    ]


def test_masks_that_depend_on_the_place_in_the_worker_are_caught(monkeypatch):
    c = case(branched(), workers=2, batch=12, microbatch=6, dtype="float64")
    assert not is_caught(c, c.lower())
    monkeypatch.setattr(World, "stream", lambda world, task: Stream(0, world.step, 0, 0))
    assert is_caught(c, c.lower())


@pytest.mark.parametrize("layer", ["h", "output"])
def test_an_update_that_does_not_wait_for_the_input_gradient_is_caught(layer):
    c = tiny(2, 2, overlap=True, bucket_bytes=8)
    program = c.lower()
    reader = find(program, f"{layer}.input_grad", rank=0, microbatch=1)[0]
    (update,) = (
        t
        for t, task in enumerate(program.tasks)
        if task.name.startswith("update.")
        and task.ranks == (0,)
        and reader in program.graph.row("dep", t)
    )
    assert not is_caught(c, program, put_off=reader)
    hasty = without_dependency(program.graph, update, reader)
    assert is_caught(c, replace(program, graph=hasty), put_off=reader)


def test_a_table_that_does_not_wait_for_its_gradient_from_the_logits_is_caught():
    c = case(tiny_decoder(), workers=2, microbatch=6, dtype="float64")
    program = c.lower()
    (following,) = find(program, "logits.tokens.input_grad", rank=0)
    (logits,) = find(program, "logits.tokens.weight_grad", rank=0)
    assert not is_caught(c, program, put_off=logits)
    hasty = without_dependency(program.graph, following, logits)
    assert is_caught(c, replace(program, graph=hasty), put_off=logits)


@pytest.mark.parametrize("register", ["c1.y", "c1_tanh.y", "x"])
def test_a_view_in_the_wrong_slot_is_caught(register):
    c = tiny(2, 4, input_slots=2, activation_slots=2)
    program = c.lower()
    task, view = next(
        (t, v)
        for t, task in enumerate(program.tasks)
        if isinstance(task, ComputeTask) and task.phase != "load" and task.microbatch == 1
        for v, place in enumerate(task.views)
        if place.register == register
    )
    slot = 1 - program.tasks[task].views[view].slot
    assert not is_caught(c, program)
    assert is_caught(c, wrong_at(program, task, view, slot=slot))


@pytest.mark.parametrize("view", [0, 1, 2], ids=["parameters", "gradients", "momentum"])
def test_an_update_at_the_wrong_offset_is_caught(view):
    c = tiny(2, 2, overlap=True, bucket_bytes=8 * 20)
    program = c.lower()
    update = find(program, "update.1", rank=1)[0]
    at = program.tasks[update].views[view].offset_bytes
    assert not is_caught(c, program)
    assert is_caught(c, wrong_at(program, update, view, offset_bytes=at - 8))

"""Every collective algorithm leaves what its operation says, in any legal order of its tasks."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from planner.algorithms import algorithm, algorithm_names
from planner.collectives.base import chunk_spans
from tests.planner.collectives.wires import (
    Law,
    Wires,
    every_algorithm,
    every_all_reduce,
    exchanged,
    seeded,
)
from tests.planner_cases import legal_order


def check_values(wires: Wires, done: list[tuple[int, ...]], held: np.ndarray, seed: int):
    """Replay in a random legal order; return what each rank has when it is told that it is done.

    A rank that is done spoils its copy, as an update would: nobody may still need it.
    """
    held, final = held.copy(), np.full(held.shape, np.nan)
    landed: dict[int, np.ndarray] = {}
    left = [set(tasks) for tasks in done]
    graph = wires.builder.build()
    for task in legal_order(graph, seed):
        if task in wires.sends:
            src, dst, spans, landing = wires.sends[task]
            if landing:
                ((a, b),) = spans
                landed[task] = held[src, a:b].copy()
            for a, b in () if landing else spans:
                held[dst, a:b] = held[src, a:b]
        else:
            rank, (a, b), arrived = wires.adds[task]
            held[rank, a:b] += landed.pop(arrived)
        for rank, tasks in enumerate(left):
            if tasks and not tasks - {task}:
                final[rank] = held[rank]
                held[rank] = 1e6
            tasks.discard(task)
    return final


def expected(operation: str, held: np.ndarray) -> list[tuple[int, tuple[int, int], np.ndarray]]:
    """What the operation leaves, as (rank, span, values), by its definition."""
    ranks, elements = held.shape
    chunks, blocks = chunk_spans(elements, ranks), chunk_spans(elements, ranks * ranks)
    whole, every, total = (0, elements), range(ranks), held.sum(axis=0)
    places = {
        "all_reduce": [(r, whole, total) for r in every],
        "reduce": [(0, whole, total)],
        "reduce_scatter": [(r, chunks[r], total) for r in every],
        "broadcast": [(r, whole, held[0]) for r in every],
        "scatter": [(r, chunks[r], held[0]) for r in every],
        "gather": [(0, chunks[r], held[r]) for r in every],
        "all_gather": [(r, chunks[s], held[s]) for r in every for s in every],
        "all_to_all": [(r, blocks[s * ranks + r], held[s]) for r in every for s in every],
    }
    return [(rank, (a, b), row[a:b]) for rank, (a, b), row in places[operation]]


def check_operation(
    name: str, ranks: int, elements: int, law: Law, seed: int, kind=Wires, group=()
) -> None:
    held = np.random.default_rng(seed).integers(0, 1000, (ranks, elements)).astype(float)
    wires, done = exchanged(name, ranks, elements, law, kind, group)
    final = check_values(wires, done, held, seed)
    for rank, (a, b), values in expected(algorithm(name).OPERATION, held):
        np.testing.assert_array_equal(final[rank, a:b], values)


@every_algorithm
@given(
    ranks=st.integers(2, 7),
    elements=st.integers(0, 19),
    slots=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_every_rank_ends_with_what_the_operation_says_in_any_legal_order(
    name, ranks, elements, slots, seed
):
    check_operation(name, ranks, elements, Law(landing_slots=slots), seed)


@every_algorithm
@pytest.mark.parametrize("group", [(2, 0), (5, 1, 3), (3, 2, 1, 0), (4, 0, 5, 2, 1)], ids=str)
def test_any_group_of_workers_in_any_order_of_ranks_exchanges(name, group):
    for seed in range(4):
        check_operation(name, len(group), 17, Law(landing_slots=2), seed, group=group)


def check_bits(name: str, ranks: int, law: Law, seeds, kind=Wires) -> None:
    """Sums of numbers of very different size come out alike, whatever the order of tasks."""
    rng = np.random.default_rng(0)
    held = rng.standard_normal((ranks, 7)) * 10.0 ** rng.integers(-8, 8, (ranks, 7))
    wires, done = exchanged(name, ranks, 7, law, kind)
    finals = [check_values(wires, done, held, seed) for seed in seeds]
    places = expected(algorithm(name).OPERATION, held)
    for final in finals:
        for rank, (a, b), _ in places:
            np.testing.assert_array_equal(final[rank, a:b], finals[0][rank, a:b])
        if algorithm(name).OPERATION == "all_reduce":
            np.testing.assert_array_equal(final, np.tile(final[0], (ranks, 1)))


@every_algorithm
@pytest.mark.parametrize("ranks", range(2, 7))
def test_floats_come_out_bit_equal_on_all_ranks_and_in_all_orders(name, ranks):
    check_bits(name, ranks, Law(landing_slots=3), range(12))


# Messages


def touched(wires: Wires, task: int, rank: int) -> tuple[tuple[tuple[int, int], ...], bool]:
    """Which spans of its copy the task reads or writes at ``rank``, and whether it writes."""
    if task in wires.adds:
        return (wires.adds[task][1],), True
    _, dst, spans, landing = wires.sends[task]
    return () if rank == dst and landing else spans, rank == dst


def check_posts(wires: Wires, done: list[tuple[int, ...]]) -> int:
    """No message is posted while the buffer is still needed: MPI may read or fill it at once.

    A rank posts its end of a transfer when those dependencies are over that it takes part in, and
    does not wait for the other end's. Return how many pairs of tasks this keeps apart.
    """
    graph = wires.builder.build()
    over: list[int] = []  # bit b of row a: task b has ended when task a has
    seen: dict[int, list[tuple[int, tuple[int, int], bool]]] = defaultdict(list)
    pairs = 0
    for task in range(graph.tasks):
        before = graph.row("dep", task)
        for rank in wires.parties(task):
            mask = 0
            for d in before:
                mask |= over[d] | 1 << d if rank in wires.parties(d) else 0
            spans, writes = touched(wires, task, rank)
            for a, b in spans:
                for other, (c, d), other_writes in seen[rank]:
                    if (writes or other_writes) and max(a, c) < min(b, d) and other != task:
                        pairs += 1
                        assert mask >> other & 1, f"{task} is posted before {other} has ended"
                seen[rank].append((task, (a, b), writes))
        mask = 0
        for d in before:
            mask |= over[d] | 1 << d
        over.append(mask)
    for rank, last in enumerate(done):
        mask = 0
        for d in last:
            mask |= over[d] | 1 << d
        assert all(mask >> task & 1 for task, (a, b), _ in seen[rank] if a < b), "done too early"
    return pairs


@every_algorithm
@pytest.mark.parametrize("ranks", range(2, 10))
def test_no_message_is_posted_while_its_buffer_is_needed(name, ranks):
    pairs = check_posts(*exchanged(name, ranks, 2 * ranks * ranks, Law(landing_slots=2)))
    assert pairs > 0 or name not in algorithm_names()


@every_all_reduce
def test_a_receive_that_does_not_wait_for_the_old_value_to_go_is_shown(name):
    """Every transfer in place, robbed of what its receiver must wait for."""

    @dataclass(kw_only=True)
    class Rash(Wires):
        def send(self, src, dst, span, *, after, landing, channel=0, more=()):
            if not landing:
                after = tuple(t for t in after if dst not in self.parties(t))
            some = {"after": after, "landing": landing, "channel": channel, "more": more}
            return super().send(src, dst, span, **some)

    with pytest.raises(AssertionError, match="is posted before"):
        check_posts(*exchanged(name, 4, 32, Law(), Rash))


# The oracles above, shown to fail


def is_caught(name: str, fault: str, at: int, seeds: int = 60) -> bool:
    """Whether any of the legal orders shows the fault."""
    for seed in range(seeds):
        try:
            check_operation(name, 4, 32, Law(landing_slots=2), seed, seeded(fault, at))
        except (AssertionError, KeyError, ValueError, PlanError):
            return True
    return False


@every_algorithm
def test_no_fault_is_no_alarm(name):
    assert not is_caught(name, "", -1)


@every_algorithm
@pytest.mark.parametrize("fault", ["wrong neighbour", "wrong span"])
def test_the_values_show_a_send_with_a(name, fault):
    wires, _ = exchanged(name, 4, 32, Law())
    assert all(is_caught(name, fault, at) for at in range(len(wires.sends)))


@every_algorithm
def test_the_values_show_a_step_too_few(name):
    wires, _ = exchanged(name, 4, 32, Law())
    assert is_caught(name, "one step too few", len(wires.sends) - 1)


@every_algorithm
def test_the_values_show_every_dropped_dependency_of_a_send(name):
    wires, _ = exchanged(name, 4, 32, Law(landing_slots=2))
    rows = [wires.builder.build().row("dep", task) for task in wires.sends]
    lands = [landing for _, _, _, landing in wires.sends.values()]
    # a landing's only dependency may be the landing before it, which no fault takes away
    waits = [
        at
        for at, row in enumerate(rows)
        if row and not (lands[at] and not set(row) - set(wires.sends))
    ]
    least = dict.fromkeys(("broadcast", "chain_broadcast", "scatter", "gather", "reduce"), 1)
    least |= {"all_to_all": 0, "bruck_all_gather": 1, "bruck_all_to_all": 2}
    least |= {"hierarchical_all_to_all": 2}
    assert len(waits) >= least.get(name, 3)
    assert [at for at in waits if not is_caught(name, "dropped dependency", at)] == []


@dataclass(kw_only=True)
class Hasty(Wires):
    """Wires on which additions wait for nothing but their arrival."""

    def add(self, rank, span, arrived, *, after):
        return super().add(rank, span, arrived, after=())


def test_the_bits_show_additions_that_keep_no_order():
    check_bits("ring", 4, Law(landing_slots=3), range(20), Hasty)  # its chunks need no such order
    with pytest.raises(AssertionError):
        check_bits("star", 4, Law(landing_slots=3), range(20), Hasty)


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        *(("torus:2x2x3", 12), ("torus:3x2", 6), ("hierarchical:4", 12), ("multi_ring:3", 5)),
        *(("multi_ring:4x1x4", 8), ("multi_ring:2x2x4", 8), ("multi_ring:3x1x3", 9)),
        *(("multi_ring:2x3", 5), ("multi_ring:3x2x6", 12)),
    ],
)
def test_shaped_algorithms_leave_the_sum_everywhere(name, ranks):
    for seed in range(3):
        check_operation(name, ranks, 37, Law(landing_slots=2), seed)
    check_posts(*exchanged(name, ranks, 2 * ranks * ranks, Law()))

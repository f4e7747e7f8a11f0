"""A library's choice for the buckets of a plan: its tables by size, and less is never dearer."""

import doctest
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreplan.machines import load_machine
from hwprofiles.errors import PlanError
from hwprofiles.transport import shipped
from planner import library_choice
from planner.algorithms import algorithm, name_at, name_by_size, turns
from planner.calls import StepCalls
from planner.collectives import base
from planner.crossings import Routes
from planner.exchange_work import work_of
from planner.library_choice import library_algorithm
from planner.lower import lower
from planner.model import load_model
from planner.piece_prices import UpdateTimes, exchange_prices, transfer_prices
from planner.plan import Plan, Training
from planner.policies import nccl
from planner.search import search
from planner.transport_groups import group_of
from planner.transport_law import ways

TREE, RING = "double_binary_tree", "ring"


@pytest.fixture(scope="module")
def two_nodes():
    return load_machine("dgx-1-v100:2", "pytorch-containers")


def tables(system, domains, size):
    """What the tables choose among trees and rings."""
    group = group_of(system, 8 * domains, domains)
    able = [w for w in ways("all_reduce", size, group) if w.algorithm in ("ring", "tree")]
    return nccl.choose(able, size, "all_reduce", group, shipped()).algorithm


def test_the_algorithm_changes_with_the_size_as_in_the_tables(two_nodes):
    name = library_algorithm("nccl", two_nodes, 16, "float32")
    chosen = {size: name_at(name, size // 4) for size in (1 << k for k in range(6, 32))}
    stands = {"ring": RING, "tree": TREE}
    assert chosen == {s: stands[tables("dgx-1-v100", 2, float(s))] for s in chosen}
    assert set(chosen.values()) == {TREE, RING}


def test_in_one_node_the_tables_know_rings_alone(two_nodes):
    assert library_algorithm("nccl", two_nodes, 8, "float32") == RING
    assert library_algorithm("nccl", two_nodes, 1, "float32") == "none"


@pytest.mark.parametrize("system", ["dgx-1-v100:2", "dgx-a100-80g:2", "dgx-h100:4", "dgx-h100"])
def test_less_payload_never_takes_longer(system):
    machine = load_machine(system, "pytorch-containers")
    ranks = machine.devices
    name = library_algorithm("nccl", machine, ranks, "float32")
    cost_ps = library_choice._costs(machine, ranks, "float32")
    edges = [edge for _, start in turns(name)[1:] for edge in (start - 1, start)]
    sizes = sorted({*(1 << k for k in range(4, 29)), *edges})
    costs = [cost_ps(name, size) for size in sizes]
    assert costs == sorted(costs)


def test_a_switch_that_adds_is_the_choice_for_many_bytes_where_there_is_one():
    machine = load_machine("dgx-h100:2", "pytorch-containers")
    names = {n: library_algorithm("nccl", machine, n, "float32") for n in (8, 16)}
    assert name_at(names[8], 1 << 26) == "in_network"
    assert {name for name, _ in turns(names[16])} <= {TREE, RING}


def test_the_tables_alone_would_charge_more_for_less():
    machine = load_machine("dgx-h100:4", "pytorch-containers")
    cost_ps = library_choice._costs(machine, 32, "float32")
    two = {"ring": RING, "tree": TREE}
    at = library_choice._chooser("nccl", group_of("dgx-h100", 32, 4), 4, two)
    (first, second), (limit,) = library_choice._by_size(at)
    assert (first, second) == (TREE, RING)
    assert cost_ps(TREE, limit - 1) > cost_ps(RING, limit)


@given(
    st.lists(st.integers(2, 10**6), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 50)), min_size=2, max_size=2),
)
def test_turns_that_would_charge_more_for_less_are_cut_short(limits, laws):
    names = [f"{i % 2}" for i in range(len(limits) + 1)]

    def cost_ps(name, elements):
        fixed, each = laws[int(name)]
        return fixed + each * elements

    kept, begins = library_choice._rising(names, sorted(limits), cost_ps)
    assert all(a != b for a, b in pairwise(kept))
    assert begins == sorted(set(begins))
    for (before, after), begin in zip(pairwise(kept), begins, strict=True):
        assert cost_ps(before, begin - 1) <= cost_ps(after, begin)


def test_links_of_the_datasheet_have_no_tables():
    with pytest.raises(PlanError, match="expected links whose transport stacks are fitted"):
        library_algorithm("nccl", load_machine("dgx-1-v100:2"), 16, "float32")


def test_a_search_by_a_librarys_choice_tries_nothing_else(two_nodes):
    training = Training(batch=64)
    model = load_model("lenet-5")
    fixed = {"algorithm": "nccl", "workers": 16}
    found = search(model, training, two_nodes, top=2, budget=2, fixed=fixed)
    expected = library_algorithm("nccl", two_nodes, 16, "float32")
    assert {c.plan.algorithm for c in found.best} == {expected}


# Algorithms that take turns


def test_work_of_two_algorithms_is_that_of_each(two_nodes):

    model, training = load_model("lenet-5"), Training(batch=64)
    cluster, books = two_nodes.cluster(16), two_nodes.books(16)
    plan = Plan(
        workers=16,
        microbatch=4,
        placement=tuple(range(16)),
        algorithm=RING,
        bucket_bytes=1 << 20,
        overlap=False,
    )
    calls = StepCalls.of(model, training, plan)
    transfer_ps = transfer_prices(plan.placement, cluster, "float32")
    prices = exchange_prices(plan, calls, transfer_ps, cluster, books)
    update_ps = UpdateTimes(calls, list(books.values()))
    routes = Routes(cluster=cluster, placement=plan.placement, item_bytes=4)
    small, large = 1000, 50_000
    both = work_of(f"{TREE}@10000@{RING}", [small, large], prices, update_ps, routes)
    for name, size in ((TREE, small), (RING, large)):
        alone = work_of(name, [size], prices, update_ps, routes)
        assert both.rest_ps([size]) == alone.rest_ps([size])
        assert both.busiest_ps([size]) == alone.busiest_ps([size])
        assert both.chain_ps[both.sizes[size]] == alone.chain_ps[0]


@pytest.mark.parametrize("name", ["ring@x@tree", "ring@5", "ring@9@tree@9@ring", "ring@0@tree"])
def test_turns_that_cannot_be_read_are_refused(name):
    with pytest.raises(PlanError, match="rising numbers of elements"):
        algorithm(name)
    with pytest.raises(PlanError):
        algorithm("no-such@5@ring")


def test_names_say_who_runs_what():
    name = name_by_size([TREE, RING, TREE], [10, 20])
    assert [name_at(name, n) for n in (9, 10, 19, 20)] == [TREE, RING, RING, TREE]
    assert doctest.testmod(base).failed == 0


def test_a_plan_of_turns_is_lowered_again_alike(two_nodes):
    model, training = load_model("lenet-5"), Training(batch=64)
    c = search(
        model,
        training,
        two_nodes,
        top=1,
        budget=1,
        fixed={"workers": 16, "algorithm": f"{TREE}@20000@{RING}", "bucket_bytes": 1 << 12},
    ).best[0]
    again = lower(model, training, c.plan, two_nodes.cluster(16), two_nodes.books(16))
    assert again.graph.sha256() == c.prediction.graph_sha256
    sent = {task.name.partition(".")[0] for task in again.tasks if hasattr(task, "src")}
    assert sent == {TREE, RING}

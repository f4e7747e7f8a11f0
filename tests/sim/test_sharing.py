"""Sharing of bytes: packed programs are proved safe, and every seeded fault is named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from planner.layout import Place
from planner.model import load_model
from planner.program import Program, TransferTask
from sim.graphbuilder import GraphBuilder
from sim.sharing import check_sharing
from tests.planner_cases import branched_models, case, cases, without_dependency


@given(c=cases(), model=branched_models())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_packed_program_is_safe(c, model):
    c.lower().check_sharing()
    replace(c, model=model).lower().check_sharing()


def task(program: Program, name: str, rank: int = 0, microbatch: int = 0) -> int:
    return next(
        t
        for t, info in enumerate(program.tasks)
        if (info.name, info.ranks, getattr(info, "microbatch", 0)) == (name, (rank,), microbatch)
    )


def refused(program: Program, names: str) -> None:
    with pytest.raises(PlanError, match=names):
        program.check_sharing()


@pytest.fixture(scope="module")
def program() -> Program:
    fields = {"batch": 16, "microbatch": 4, "overlap": True, "bucket_bytes": 100_000}
    return case(load_model("lenet-5"), workers=2, **fields).lower()


def test_an_order_of_the_passes_that_is_dropped_is_named(program):
    late, early = task(program, "c3_tanh.input_grad"), task(program, "c3_tanh.input_grad") - 1
    graph = without_dependency(program.graph, late, early)
    refused(replace(program, graph=graph), r"share bytes, but .* still needs the first")


def test_a_microbatch_that_does_not_wait_for_the_one_before_is_named(program):
    first = task(program, "c1", microbatch=1)
    last = task(program, "c1.weight_grad", microbatch=0)
    assert last in program.graph.row("dep", first)
    graph = without_dependency(program.graph, first, last)
    refused(replace(program, graph=graph), r"c1@0 may write the second while \w+\.input_grad@0")


def test_an_arrival_that_does_not_wait_for_the_passes_of_its_receiver_is_named(program):
    arrival = next(
        t
        for t, info in enumerate(program.tasks)
        if isinstance(info, TransferTask) and info.target.register == "landing.1"
    )
    dst, graph = program.tasks[arrival].ranks[1], program.graph
    for own in graph.row("dep", arrival):
        if program.tasks[own].ranks == (dst,):
            graph = without_dependency(graph, arrival, own)
    refused(replace(program, graph=graph), rf"and landing\.1@{dst} share bytes")


def test_an_arrival_that_does_not_wait_for_the_bucket_on_whose_bytes_it_lands_is_named():
    fields = {"batch": 12, "microbatch": 2, "overlap": True, "bucket_bytes": 40_000}
    fields |= {"algorithm": "star", "landing_slots": 2}
    program = case(load_model("gpt-nano"), workers=3, **fields).lower()
    program.check_sharing()
    after = program.layouts[0].landing_after
    late = next(b for b, earlier in enumerate(after) if earlier)
    arrival = next(
        t
        for t, info in enumerate(program.tasks)
        if isinstance(info, TransferTask) and info.target.register == f"landing.{late}"
    )
    graph = program.graph
    for before in graph.row("dep", arrival):
        if program.tasks[before].name.startswith(f"add.{after[late][0]}["):
            graph = without_dependency(graph, arrival, before)
    refused(replace(program, graph=graph), rf"landing\.{after[late][0]}@0 and landing\.{late}@0")


def test_a_second_frame_that_does_not_wait_for_the_first_to_shrink_is_named():
    fields = {"batch": 64, "microbatch": 16, "activation_slots": 2, "input_slots": 2}
    program = case(load_model("mlp"), workers=1, **fields).lower()
    program.check_sharing()
    first, graph = task(program, "h1", microbatch=2), program.graph
    for before in graph.row("dep", first):
        if program.tasks[before].microbatch == 1:
            graph = without_dependency(graph, first, before)
    refused(replace(program, graph=graph), r"h1@0 may write the second while .* still needs")


@pytest.mark.parametrize("register", ["c1_tanh.y", "parameters", "x"])
def test_a_register_at_the_place_of_another_is_named(register, program):
    places = dict(program.layouts[0].places)
    places["c3.y"] = Place(first_byte=places[register].first_byte, step_bytes=1 << 20)
    moved = replace(program.layouts[0], places=places)
    found = replace(program, layouts=(moved, *program.layouts[1:]))
    program.check_sharing()
    refused(found, rf"({register}@0 and c3\.y@0|c3\.y@0 and {register}@0) share bytes")


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_check_agrees_with_every_pair_looked_at(data):
    """Registers of one slot on one device, written once each, in random graphs."""
    builder, spans = GraphBuilder(), []
    lane = builder.lane(0)
    writers: list[int] = []
    for i in range(data.draw(st.integers(2, 7))):
        size = data.draw(st.integers(1, 3))
        spans.append((data.draw(st.integers(0, 5)), size))
        builder.register(0, 1, size)
        after = [t for t in range(i) if data.draw(st.booleans())]
        reads = [(writers[t], t) for t in after if data.draw(st.booleans())]
        writers.append(builder.compute([lane], 1, after=after, reads=reads, writes=[i]))
    graph = builder.build()
    before = [set[int]() for _ in range(graph.tasks)]
    for t in range(graph.tasks):
        for d in graph.row("dep", t):
            before[t] |= before[d] | {d}
    touches = [{i, *readers} for i, readers in enumerate(graph.item_readers())]
    safe = all(
        a + n <= b or b + m <= a or touches[i] <= before[j]
        for j, (b, m) in enumerate(spans)
        for i, (a, n) in enumerate(spans[:j])
    )
    first = np.array([at for at, _ in spans])
    ones, zeros = np.ones_like(first), np.zeros_like(first)
    try:
        check_sharing(graph, first_byte=first, step_bytes=ones, item_slot=zeros)
    except PlanError:
        assert not safe
    else:
        assert safe

"""Dynamic memory: blocks never overlap, free neighbours are one, and what it cannot do is told."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import DeadlockError, MemoryExhausted
from sim import heap_memory, simpy_engine
from sim.graphbuilder import GraphBuilder
from sim.heap_memory import FirstFit
from tests.oracles import item_spans
from tests.strategies import any_graphs

CAPACITY = 64


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_first_fit_against_a_map_of_bytes(asked):
    heap, held, used = FirstFit(CAPACITY), [], np.zeros(CAPACITY, dtype=bool)
    for gives_back, size in asked:
        if gives_back and held:
            at, length = held.pop(size % len(held))
            heap.give_back(at, length)
            used[at : at + length] = False
            continue
        starts = range(CAPACITY - size + 1)
        expected = next((at for at in starts if not used[at : at + size].any()), None)
        assert heap.take(size) == expected
        if expected is not None:
            held.append((expected, size))
            used[expected : expected + size] = True
    for at, length in held:
        heap.give_back(at, length)
    assert heap.free == [(0, CAPACITY)]


@given(graph=any_graphs(), waits=st.booleans())
@settings(max_examples=30, deadline=None)
def test_with_endless_memory_it_is_the_reference_engine_with_endless_slots(graph, waits):
    endless = replace(graph, register_slots=np.full_like(graph.register_slots, 10**6))
    timeline, needed = heap_memory.simulate(graph, 10**12, waits=waits)
    assert timeline.equals(simpy_engine.simulate(endless))
    resident = heap_memory.resident_bytes(graph)
    for device, size in resident.items():
        assert needed >= size + live_bytes(endless, timeline, device)


def live_bytes(graph, timeline, device):
    """The most that lives on a device at the start of a task."""
    spans = item_spans(graph, timeline)
    starts = timeline.start_ps.tolist()
    sizes, places = graph.register_bytes.tolist(), graph.register_device.tolist()
    alive = [
        sum(sizes[r] for r, born, dead in spans if born <= t < dead and places[r] == device)
        for t in starts
    ]
    return max(alive, default=0)


def run_ahead():
    """A loader that fills the memory with three inputs of 10 B; a task that needs 8 B for each."""
    builder = GraphBuilder()
    load, work = builder.lane(0), builder.lane(0)
    inputs, results = builder.register(0, 1, 10), builder.register(0, 1, 8)
    for _ in range(3):
        loaded = builder.compute([load], 1, writes=[inputs])
        builder.compute([work], 5, reads=[(loaded, inputs)], writes=[results])
    return builder.build()


def test_static_slots_finish_where_dynamic_memory_hangs_or_runs_out():
    graph = run_ahead()
    static = simpy_engine.simulate(graph)
    assert static.makespan_ps == 18
    arena = 10 + 8
    with pytest.raises(MemoryExhausted, match=r"task \d: expected a block of 10 B, got none"):
        heap_memory.simulate(graph, arena, waits=False)
    assert heap_memory.simulate(graph, 28, waits=True)[0].makespan_ps >= 16
    with pytest.raises(DeadlockError, match="every task waits for memory"):
        heap_memory.simulate(graph, 17, waits=True)


def test_memory_that_parameters_alone_exceed_is_refused():
    builder = GraphBuilder()
    builder.register(0, 1, 100)
    builder.compute([builder.lane(0)], 1)
    with pytest.raises(MemoryExhausted, match="expected room for 100 B that are always there"):
        heap_memory.simulate(builder.build(), 99, waits=True)

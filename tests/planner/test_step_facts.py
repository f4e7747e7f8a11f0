"""Facts of a step: sums that hold for every plan, and bytes that can be counted on paper."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.predict import phase_seconds
from planner.step_facts import (
    _common,
    _length,
    _union,
    communication,
    input_stall_s,
    link_uses,
    path_parts,
    waiting_s,
    wire_bytes,
)
from sim.heap_engine import simulate
from tests.planner_cases import case, cases, small_machine

FEW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=8)


def instants(spans):
    mask = np.zeros(60, dtype=bool)
    for start, end in spans:
        mask[start:end] = True
    return mask


@given(a=SPANS, b=SPANS)
def test_spans_are_joined_and_met_as_sets_of_instants(a, b):
    a, b = ([(start, start + length) for start, length in spans] for spans in (a, b))
    joined, other = _union(a), _union(b)
    assert np.array_equal(instants(joined), instants(a))
    assert all(left[1] < right[0] for left, right in pairwise(joined))
    common = _common(joined, other)
    assert np.array_equal(instants(common), instants(a) & instants(b))
    assert _length(common) == (instants(a) & instants(b)).sum()


@given(c=cases())
@FEW
def test_parts_add_up_and_nothing_is_longer_than_the_step(c):
    program = c.lower()
    timeline = simulate(program.graph)
    step_s = timeline.makespan_s
    parts = path_parts(program, timeline)
    assert sum(part.seconds for part in parts) == pytest.approx(step_s, rel=1e-9)
    assert sum(part.frac for part in parts) == pytest.approx(1)
    found = communication(program, timeline)
    assert 0 <= found.hidden_s <= found.total_s <= step_s * (1 + 1e-12)
    assert (found.total_s > 0) == (c.plan.workers > 1)
    if c.holds:
        assert found.hidden_s == 0, "a transfer by the computing lane hides behind nothing"
    stall_s, idle_s = input_stall_s(program, timeline), waiting_s(program, timeline)
    assert 0 <= stall_s <= step_s
    phases = [phase_seconds(program, timeline, rank) for rank in range(program.ranks)]
    assert idle_s == pytest.approx(np.mean([p["waiting"] for p in phases]), abs=1e-12)
    assert found.exposed_s + stall_s + idle_s <= step_s * (1 + 1e-9)
    uses = link_uses(program, timeline, c.cluster)
    assert sum(use.wires for use in uses) == len(c.cluster.links)
    assert sum(use.bytes for use in uses) == wire_bytes(program, len(c.cluster.links)).sum()
    top = [use.busiest.utilisation_frac if use.busiest else 0 for use in uses]
    assert top == sorted(top, reverse=True)
    assert top[0] <= 1 + 1e-9, "no wire carries more than it can"


def test_a_ring_sends_two_thirds_twice_over_every_wire_it_uses():
    c = case(machine=small_machine(3), workers=3, batch=6, algorithm="ring")
    program = c.lower()
    (use,) = link_uses(program, simulate(program.graph), c.cluster)
    gradient = 4 * c.model.parameter_count
    assert use.name == "wire (device to device)"
    assert (use.wires, use.wires_used) == (6, 3)
    assert use.bytes == 2 * (3 - 1) * gradient
    assert use.busiest.bytes == pytest.approx(2 * 2 / 3 * gradient, abs=16)


def test_loading_on_the_computing_lane_is_waited_for():
    c = case(machine=small_machine(2, holds=True), workers=1, batch=2)
    program = c.lower()
    timeline = simulate(program.graph)
    load = next(i for i, task in enumerate(program.tasks) if task.phase == "load")
    length_ps = timeline.end_ps[load] - timeline.start_ps[load]
    assert input_stall_s(program, timeline) == pytest.approx(length_ps / 1e12)

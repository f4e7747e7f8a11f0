"""What a host has to issue first: a chain is a flow shop of two machines in one order."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.graphbuilder import GraphBuilder
from sim.heap_engine import simulate
from sim.issue import issued


def chain(durations):
    build = GraphBuilder()
    lane = build.lane(0)
    last: list[int] = []
    for duration in durations:
        last = [build.compute([lane], duration, after=last)]
    return build.build()


def length(graph):
    return int(simulate(graph).end_ps.max())


def flow_shop(issue, compute):
    """Largest over k of issuing the first k and computing from the k-th on."""
    before = list(accumulate(issue))
    after = list(accumulate(reversed(compute)))[::-1]
    return max(a + b for a, b in zip(before, after, strict=True))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_a_chain_is_a_flow_shop(pairs):
    issue, compute = zip(*pairs, strict=True)
    graph = chain(compute)
    found = length(issued(graph, issue, simulate(graph).start_ps))
    assert found == flow_shop(issue, compute)
    assert found >= max(length(graph), sum(issue))


@pytest.mark.parametrize(("issue", "expected"), [(0, 40), (3, 43), (30, 130)])
def test_large_ops_hide_their_issue_and_small_ones_wait_for_it(issue, expected):
    graph = chain([10] * 4)
    assert length(issued(graph, [issue] * 4, simulate(graph).start_ps)) == expected


def test_transfers_are_not_issued_and_go_on_as_they_did():
    build = GraphBuilder()
    a, b, link = build.lane(0), build.lane(1), build.link(1e12)
    first = build.compute([a], 10)
    moved = build.transfer([a], 5, payload_bytes=100, route=build.path([link]), after=[first])
    build.compute([b], 10, after=[moved])
    graph = build.build()
    free = issued(graph, [0, 0, 0], simulate(graph).start_ps)
    assert length(free) == length(graph)
    assert free.tasks == graph.tasks + 2
    late = issued(graph, [1, 1000, 500], simulate(graph).start_ps)
    assert length(late) == 510
    assert np.array_equal(np.sort(late.payload_bytes)[-1:], [100])

"""What waits for all transfers that share a link is never bound later than it is simulated."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.cluster import Cluster
from planner.algorithms import algorithm
from planner.crossings import Crossed, Routes
from planner.crowds import Crowding, Crowds
from planner.exchange_work import lone_ps
from planner.lone_exchange import exchange_graph
from planner.moves import Moves, block_edges, moves_of
from sim.heap_engine import simulate
from sim.timeline import Timeline
from tests.planner_cases import ALGORITHMS, cluster_of, device, link, links_at_random

ITEM_BYTES = 4


def added_ps(rank: int, elements: int) -> int:
    return 1000 * (rank + 1) + 7 * elements


def uplinks(ranks: int, uplink) -> Cluster:
    """Two leaves, of which one has the even ranks; all that leaves one shares an uplink."""
    leaf = [f"leaf{rank % 2}" for rank in range(ranks)]
    ports = [(r, leaf[r], link(4e9)) for r in range(ranks)]
    ports += [(leaf[r], r, link(4e9)) for r in range(ranks)]
    spine = [("leaf0", "leaf1", uplink), ("leaf1", "leaf0", uplink)]
    return Cluster.from_edges("leaves", [device()] * ranks, [*ports, *spine])


def crowding_of(name: str, elements: int, cluster: Cluster, ranks: int) -> tuple[Moves, Crowding]:
    moves = moves_of(algorithm(name).emit, ranks)
    routes = Routes(cluster=cluster, placement=tuple(range(ranks)), item_bytes=ITEM_BYTES)
    edges = block_edges(moves.blocks, [elements])
    width = edges[moves.end] - edges[moves.first]
    duration, idle = np.zeros((2, moves.count, 1), dtype=np.int64)
    for move, (src, dst) in enumerate(zip(moves.src.tolist(), moves.dst.tolist(), strict=True)):
        if src == dst:
            duration[move] = added_ps(src, int(width[move, 0]))
        else:
            way = routes.route(src, dst)
            duration[move], idle[move] = lone_ps(way, float(width[move, 0] * ITEM_BYTES))
    crowds = Crowds.of(moves, Crossed.of(moves, routes), routes)
    return moves, crowds.on(width, idle, duration, ITEM_BYTES)


def check_earliest(moves: Moves, crowding: Crowding, timeline: Timeline) -> None:
    """No move starts before its time, and all that follows one takes as long as it is said to."""
    head, tail = moves.times(crowding.duration_ps, np.zeros(1, dtype=np.int64), crowding)
    assert (head[:, 0] <= timeline.start_ps).all()
    assert (tail[:, 0] <= timeline.makespan_ps - timeline.end_ps).all()
    assert crowding.longest_ps(head, tail)[0] <= timeline.makespan_ps


FABRICS = ("switch", "line", "leaves")


@given(
    name=st.sampled_from([name for name in ALGORITHMS if name != "in_network"]),
    ranks=st.integers(2, 8),
    fabric=st.sampled_from(FABRICS),
    wire=links_at_random(),
    elements=st.integers(1, 400_000),
)
def test_no_move_is_simulated_before_the_crowds_let_it_begin(name, ranks, fabric, wire, elements):
    spread = fabric != "leaves"
    cluster = cluster_of(device(), ranks, fabric, wire) if spread else uplinks(ranks, wire)
    moves, crowding = crowding_of(name, elements, cluster, ranks)
    timeline = simulate(exchange_graph(name, elements, cluster, ranks, added_ps))
    check_earliest(moves, crowding, timeline)


def test_a_step_over_one_uplink_is_as_long_as_the_bytes_of_all():
    """The first and the last step of halving and doubling stay in a leaf, the others do not."""
    cluster = uplinks(4, link(1e9))
    moves, crowding = crowding_of("halving_doubling", 100_000, cluster, 4)
    timeline = simulate(exchange_graph("halving_doubling", 100_000, cluster, 4, added_ps))
    chain_ps = max(np.add(*moves.times(crowding.duration_ps, np.zeros(1, dtype=np.int64))))[0]
    head, tail = moves.times(crowding.duration_ps, np.zeros(1, dtype=np.int64), crowding)
    told_ps = crowding.longest_ps(head, tail)[0]
    assert chain_ps < 0.8 * timeline.makespan_ps
    assert 0.99 * timeline.makespan_ps < told_ps <= timeline.makespan_ps
    # the oracle, shown to fail: links that take a tenth longer than they do
    slow = replace(crowding, work_ps=[work + work // 10 for work in crowding.work_ps])
    with pytest.raises(AssertionError):
        check_earliest(moves, slow, timeline)

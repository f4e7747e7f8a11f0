"""Folded collectives: a class ends when all its ranks do on every kind of fabric, or is refused."""

from collections import Counter

import numpy as np
import pytest

from hwprofiles.clusters import load_cluster
from hwprofiles.errors import PlanError
from planner.algorithms import algorithm
from planner.folding import ClusterFabric, fold_exchange
from planner.lone_exchange import LoneExchange
from sim.engine import simulate
from sim.fold import check_fold

FOLDS = [
    ("dgx-h100", "ring", 1),
    ("dgx-h100", "multi_ring:3", 1),
    ("dgx-h100", "sharded_star", 1),
    ("dgx-h100", "all_to_all", 1),
    ("dgx-h100", "bruck_all_to_all", 1),
    ("dgx-h100", "all_gather", 1),
    ("dgx-h100", "bruck_all_gather", 1),
    ("dgx-h100", "reduce_scatter", 1),
    ("aws-p3-16xlarge", "ring", 4),  # hybrid cube mesh
    ("mi300x-8", "halving_doubling", 1),  # full mesh
    ("tpu-v4:4x4x1", "halving_doubling", 1),
    ("tpu-v4:4x4x4", "torus:4x4x4", 1),
    ("dgx-h100:2", "hierarchical:4", 2),  # rail-optimised, half a node at a time
    ("dgx-h100:4", "hierarchical:8", 1),
    ("dgx-h100:4", "hierarchical_all_to_all:8", 1),
    ("dgx-h100:2", "multi_ring:8x2x8", 1),  # turns lead from channel to channel
    ("dgx-h100:3", "multi_ring:8x1x8", 1),  # links of which some flows are slowed elsewhere
    ("azure-nd96isr-mi300x-v5:2", "multi_ring:8x1x8", 1),
    ("frontier:4", "hierarchical:8", 2),  # dragonfly
    ("aws-p4d-24xlarge:2", "hierarchical_halving:8", 1),  # fat tree
]
"""Cluster, algorithm, and how many ranks stand for all; every kind of fabric that clusters have."""


def add_ps(rank: int, elements: int) -> int:
    del rank
    return 7 * elements


def spans(graph):
    """Bytes, start and end of every task, in no order."""
    timeline = simulate(graph)
    columns = graph.payload_bytes, timeline.start_ps, timeline.end_ps
    return Counter(zip(*(column.tolist() for column in columns), strict=True))


def fold(name, spec, elements=0, adds=add_ps):
    cluster = load_cluster(spec)
    ranks = len(cluster.devices)
    return fold_exchange(name, elements or 12 * ranks * ranks, ClusterFabric(cluster), ranks, adds)


@pytest.mark.parametrize(("spec", "name", "kept"), FOLDS)
def test_a_class_starts_and_ends_with_all_its_ranks(spec, name, kept):
    folded = fold(name, spec)
    times, order, whole = folded.times(), folded.symmetry.order, folded.unfold()
    unfolded = simulate(whole)
    assert len(folded.symmetry.ranks()) == kept
    np.testing.assert_array_equal(unfolded.start_ps, np.repeat(times.start_ps, order))
    np.testing.assert_array_equal(unfolded.end_ps, np.repeat(times.end_ps, order))


@pytest.mark.parametrize(("spec", "name"), [row[:2] for row in FOLDS if "4x4x4" not in row[0]])
def test_the_unfolded_graph_is_the_one_that_is_emitted_rank_by_rank(spec, name):
    folded, cluster = fold(name, spec), load_cluster(spec)
    exchange = LoneExchange(
        ranks=folded.exchange.ranks,
        elements=folded.exchange.elements,
        cluster=cluster,
        add_ps=add_ps,
        dtype="float32",
    )
    algorithm(name).emit(exchange, [()] * exchange.ranks)
    assert spans(folded.unfold()) == spans(exchange.graph.build())


@pytest.mark.parametrize(
    ("spec", "name", "said"),
    [
        ("dgx-h100", "tree", "one is a root or a server"),
        ("dgx-h100", "chain_broadcast:4", "one is a root or a server"),
        ("dgx-h100", "in_network:4", "crosses the links of all ranks at once"),
        ("dgx-h100:2", "multi_ring:4x1x8", "4 channels do not turn with the 8 ranks of a node"),
        ("dgx-h100:2", "sharded_star", "crosses 8 links, another that it is to stand for 2"),
        ("dgx-h100:2", "halving_doubling:2", "expected a name without numbers"),
        (
            "meta-24k-roce:4",
            "hierarchical_halving:8",
            "crosses links that are shared otherwise",
        ),  # hashed
        ("aws-p3-16xlarge", "all_to_all", "waits for a lane that task"),
    ],
)
def test_what_is_not_alike_is_refused_with_the_reason(spec, name, said):
    with pytest.raises(PlanError, match=said):
        fold(name, spec).times()


def test_unequal_parts_and_ranks_that_add_at_their_own_pace_are_refused():
    with pytest.raises(PlanError, match="expected a multiple of 8 elements"):
        fold("ring", "dgx-h100", 1001)
    with pytest.raises(PlanError, match="rank 1 does not add as fast as rank 0"):
        fold("ring", "dgx-h100", adds=lambda rank, elements: elements + rank)


def test_a_link_that_differs_is_seen():
    """The check above, shown to fail: one port of eight at half the bandwidth."""
    folded = fold("ring", "dgx-h100")
    ways, rates = list(folded.ways.values()), folded.link_bytes_per_s.copy()
    check_fold(ways, rates)
    rates[ways[0].links[3, 0]] /= 2
    with pytest.raises(PlanError, match="crosses links that are shared otherwise"):
        check_fold(ways, rates)

"""A switch that adds: the sum everywhere in any legal order, time and bytes as claimed."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import PlanError
from hwprofiles.units import MIB, PS_PER_S
from planner.algorithms import algorithm
from planner.lone_exchange import exchange_graph
from planner.network import cluster_network
from sim.graphbuilder import GraphBuilder
from sim.heap_engine import simulate
from tests.planner_cases import legal_order

NODE = "dgx-h100"


@dataclass
class Notes:
    """An exchange that notes its tasks, and what each waits for."""

    ranks: int
    elements: int
    fold: None = None
    rows: list[tuple[str, int, tuple[int, int]]] = field(default_factory=list)
    graph: GraphBuilder = field(default_factory=GraphBuilder)
    dropped: bool = False

    def __post_init__(self):
        self.lane = self.graph.lane(0)

    def collect(self, rank, span, *, after):
        return self.note("collect", rank, span, after)

    def spread(self, rank, span, *, after):
        return self.note("spread", rank, span, () if self.dropped else after)

    def note(self, kind, rank, span, after):
        self.rows.append((kind, rank, span))
        return self.graph.compute([self.lane], 1, after=after)


def replayed(notes: Notes, held: np.ndarray, seed: int) -> np.ndarray:
    held = held.copy()
    for task in legal_order(notes.graph.build(), seed):
        kind, rank, (a, b) = notes.rows[task]
        if kind == "collect":
            held[rank, a:b] = held[:, a:b].sum(axis=0)
        else:
            held[:, a:b] = held[rank, a:b]
    return held


def differs(ranks: int, elements: int, pieces: int, seed: int, *, dropped: bool = False) -> bool:
    notes = Notes(ranks, elements, dropped=dropped)
    algorithm(f"in_network:{pieces}").emit(notes, [()] * ranks)
    held = np.random.default_rng(seed).integers(0, 1000, (ranks, elements))
    return bool((replayed(notes, held, seed) != held.sum(axis=0)).any())


@given(ranks=st.integers(2, 7), elements=st.integers(0, 40), pieces=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_every_rank_ends_with_the_sum(ranks, elements, pieces):
    assert not differs(ranks, elements, pieces, seed=ranks)


def test_a_spread_that_does_not_wait_for_its_sum_is_shown():
    """The oracle above, shown to fail."""
    assert any(differs(4, 32, 1, seed, dropped=True) for seed in range(5))


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("name", ["in_network:1", "in_network:4", "in_network"])
def test_time_is_the_closed_form_and_each_port_carries_n_plus_1_parts(name, ranks):
    network, elements = cluster_network(NODE), 16 * MIB
    cluster = network.cluster(ranks)
    graph = exchange_graph(name, elements, cluster, ranks, network.add_ps)
    cost_ps = algorithm(name).cost_ps(elements, network.prices(ranks))
    # rates of n + 1 flows are floats that no longer sum up to the port to the bit
    assert simulate(graph).makespan_ps == pytest.approx(cost_ps, rel=1e-9)
    carried = np.zeros(len(cluster.links), dtype=np.int64)
    for task in range(graph.tasks):
        carried[graph.row("route", int(graph.route[task]))] += graph.payload_bytes[task]
    used = carried[carried > 0]
    assert len(used) == 2 * ranks
    assert used.tolist() == [4 * elements * (ranks + 1) // ranks] * (2 * ranks)


def test_on_paper():
    """DGX H100, 64 MiB in 4 pieces between 8 ranks, a port of 450 GB/s both ways."""
    network = cluster_network(NODE)
    port, latency_s = network.bandwidth_bytes_per_s, network.latency_s
    pieces_s = (64 * MIB / 4) / port * np.array([1, 9 / 8, 9 / 8, 9 / 8, 1])
    cost_ps = algorithm("in_network:4").cost_ps(16 * MIB, network.prices(8))
    assert cost_ps / PS_PER_S == pytest.approx(5 * latency_s + pieces_s.sum(), abs=6 / PS_PER_S)


def test_one_number_of_pieces_and_no_more():
    with pytest.raises(PlanError, match="expected one number of pieces, got 2x2"):
        algorithm("in_network:2x2").steps(8)


def test_it_is_offered_where_the_switches_of_a_node_add():
    assert "in_network" in cluster_network(NODE).shaped
    assert "in_network" not in cluster_network("dgx-a100-80g").shaped
    assert not cluster_network(f"{NODE}:2").able("in_network", 16)

"""Runs of one algorithm of any size: a graph that is widened is the graph that is built."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.lone_exchange import LoneExchanges, exchange_graph
from planner.network import cluster_network
from planner.topology import SIMPLEST

CLUSTERS = ("dgx-1-v100", "dgx-1-v100:2", "dgx-h100:2", "tpu-v2-board")


@given(spec=st.sampled_from(CLUSTERS), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_widened_graph_is_the_graph_of_that_size(spec, data):
    network = cluster_network(spec)
    ranks = data.draw(st.integers(2, min(network.most_ranks, 12)))
    names = [n for n in (*SIMPLEST, *network.numbered("all_reduce")) if network.able(n, ranks)]
    name = data.draw(st.sampled_from(names))
    cluster = network.cluster(ranks)
    runs = LoneExchanges(
        name=name, cluster=cluster, ranks=ranks, add_ps=network.add_ps, dtype=network.dtype
    )
    for elements in data.draw(st.lists(st.integers(1, 10**9), min_size=1, max_size=2)):
        built = exchange_graph(name, elements, cluster, ranks, network.add_ps, network.dtype)
        assert runs.graph(elements).sha256() == built.sha256()
        even = runs.even(elements)
        parts = np.unique(runs.graph(even).payload_bytes)
        assert 0 <= even - elements < even
        assert (parts % parts[parts > 0].min() == 0).all()
    wider = runs.graph(2 * elements)
    assert wider.sha256() != built.sha256()  # the oracle, shown to fail

"""The yardsticks do the same work as the engines: they give the same times."""

import numpy as np
import pytest

from foreplan import bench_graphs, engine_rates
from hwprofiles.units import to_ps
from sim import array_engine, engine


def test_the_list_scheduler_gives_the_times_of_the_engine():
    for graph in (bench_graphs.random_graph(5000, 30), bench_graphs.pipeline_graph(20, 50, None)):
        start_ps, end_ps = engine_rates.list_schedule(graph)
        timeline = array_engine.simulate(graph)
        assert np.array_equal(start_ps, timeline.start_ps)
        assert np.array_equal(end_ps, timeline.end_ps)


@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_the_switch_gives_the_times_of_the_engines(in_flight, monkeypatch):
    monkeypatch.setattr(engine_rates, "PORTS", 16)
    flows = bench_graphs.traffic(16, in_flight, 1000)
    graph = bench_graphs.traffic_graph(16, in_flight, *flows)
    timeline = engine.run(graph, "array")
    assert np.array_equal(engine_rates.share_ports(in_flight, *flows).end_ps, timeline.end_ps)
    assert engine.run(graph, "heap").equals(timeline)


def test_a_ring_takes_its_steps_and_one_wave_of_chunks():
    graph = bench_graphs.ring_graph(8, payload_bytes=8000)
    step_ps = bench_graphs.OVERHEAD_PS + to_ps(1000 / bench_graphs.PORT_BYTES_PER_S)
    assert engine.simulate(graph).makespan_ps == 14 * step_ps


def test_an_all_to_all_is_one_solve_whatever_its_size():
    for ports in (4, 32):
        graph = bench_graphs.all_to_all_graph(ports, 1 << 20)
        assert array_engine.simulate_counted(graph)[1].solves == 1

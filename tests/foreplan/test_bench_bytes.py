"""What graphs take while they are simulated: at most 64 B a task, or what their rows come to."""

import numpy as np
import pytest

from foreplan.bench_graphs import STEPS, traffic, traffic_graph
from sim.array_engine import held_bytes
from sim.arrays.layout import lay_out
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph


@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_a_flow_over_a_switch_takes_at_most_64_bytes(in_flight):
    graph = traffic_graph(64, in_flight, *traffic(64, in_flight, 50_000))
    assert sum(held_bytes(graph).values()) <= 64 * graph.tasks


def rows_bytes(graph: TaskGraph) -> dict[str, int]:
    """Times and columns of 64 and 32 bits; rows both ways where the engine needs them turned."""
    tasks, pointers = graph.tasks, graph.tasks + 1
    return {
        "times": 2 * 8 * tasks,
        "work": (8 + 8 + 4 + 4 + 4) * tasks,
        "lanes": 4 * (pointers + len(graph.lane_idx) + tasks),
        "waits": 2 * 4 * (pointers + len(graph.dep_idx)),
        "items": 4 * (2 * pointers + 2 * len(graph.out_idx) + len(graph.in_idx)),
    }


def test_a_step_takes_what_its_rows_come_to():
    graph = STEPS["LeNet-5, 8 workers"].builder()()
    held = held_bytes(graph)
    assert held.pop("fabric") < 3 * graph.tasks
    assert held == rows_bytes(graph)
    assert sum(held.values()) < 105 * graph.tasks


def one_writer_each(slots: int, writes: int) -> int:
    """Return the queues of tasks on one lane, each with a register of its own that it writes."""
    b = GraphBuilder()
    lane, registers = b.lane(0), [b.register(0, slots, 64) for _ in range(10)]
    for register in np.repeat(registers, writes).tolist():
        b.compute([lane], 5, writes=[register])
    return len(lay_out(b.build()).lane_ptr) - 1


def test_registers_tell_queues_apart_only_where_they_may_lack_slots():
    assert one_writer_each(slots=2, writes=2) == 1
    assert one_writer_each(slots=2, writes=3) == 10

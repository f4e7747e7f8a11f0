"""Malformed graphs: every problem is named, all at once."""

from dataclasses import replace

import numpy as np
import pytest

from sim.graphbuilder import GraphBuilder
from sim.structure import structure_problems
from sim.taskgraph import TaskGraph


def good() -> TaskGraph:
    b = GraphBuilder()
    lanes, register = [b.lane(0), b.lane(1)], b.register(0, 1, 8)
    route = b.path([b.link(1e9), b.link(2e9)])
    writer = b.compute([lanes[0]], 1, writes=[register])
    b.transfer(lanes, 1, payload_bytes=5, route=route, reads=[(writer, register)])
    return b.build()


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


FAULTS = [
    ("duration_ps", ints(1, -1), "task 1 needs a duration >= 0"),
    ("payload_bytes", ints(-1, -5), "task 0 and 1 more need a payload >= 0"),
    ("payload_bytes", ints(4, 5), "task 0 needs a route for its payload"),
    ("payload_bytes", ints(4), "payload_bytes has 1 entries, expected 2"),
    ("route", ints(-1, 1), "task 1 needs a route in -1..0"),
    ("lane_idx", ints(0, 0, 2), "task 1 needs lane_idx in 0..1"),
    ("lane_idx", ints(0, 1, 0), "task 1 needs lane_idx ascending without repeats"),
    ("lane_ptr", ints(0, 0, 3), "task 0 needs at least one lane"),
    ("lane_ptr", ints(0, 4, 3), "lane_ptr must rise from 0 to 3, the length of lane_idx"),
    ("lane_ptr", ints(0, 3), "lane_ptr has 2 entries, expected 3"),
    ("dep_idx", ints(7), "task 1 needs dep_idx in 0..1"),
    ("dep_idx", ints(1), "task 1 needs a dependency on the writer of every item that it reads"),
    ("out_idx", ints(3), "task 0 needs out_idx in 0..0"),
    ("in_idx", ints(1), "task 1 needs in_idx in 0..0"),
    ("register_slots", ints(-1), "register 0 needs slots >= 0"),
    ("register_bytes", ints(-1), "register 0 needs bytes >= 0"),
    ("register_device", ints(-1), "register 0 needs a device >= 0"),
    ("lane_device", ints(0, -2), "lane 1 needs a device >= 0"),
    ("link_bytes_per_s", np.array([1e9, 0.0]), "link 1 needs a finite bandwidth > 0"),
    ("link_bytes_per_s", np.array([np.nan, 1.0]), "link 0 needs a finite bandwidth > 0"),
    ("link_bytes_per_s", np.array([1.0, np.inf]), "link 1 needs a finite bandwidth > 0"),
    ("route_cap_bytes_per_s", np.array([-1.0]), "route 0 needs a cap > 0"),
    ("route_idx", ints(0, 9), "route 0 needs route_idx in 0..1"),
    ("route_idx", ints(1, 1), "route 0 needs no link twice"),
]


def test_a_built_graph_has_no_problems():
    assert structure_problems(good()) == []
    assert structure_problems(GraphBuilder().build()) == []


@pytest.mark.parametrize(("name", "value", "sentence"), FAULTS)
def test_each_problem_is_found_and_named(name, value, sentence):
    assert sentence in structure_problems(replace(good(), **{name: value}))


def test_all_problems_are_named_at_once():
    graph = replace(good(), duration_ps=ints(-1, 1), register_slots=ints(-1))
    assert len(structure_problems(graph)) == 2

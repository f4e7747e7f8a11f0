"""Many tasks at once: the same graph as one at a time, in less memory."""

import numpy as np
import pytest

from hwprofiles.errors import PlanError
from sim.blocks import Rows
from sim.graphbuilder import GraphBuilder
from sim.taskgraph import TaskGraph


def switch() -> tuple[GraphBuilder, list[int], list[int]]:
    b = GraphBuilder()
    return b, [b.lane(device) for device in (0, 1, 1)], [b.register(0, 2, 8), b.register(1, 2, 8)]


def one_at_a_time() -> TaskGraph:
    b, lanes, registers = switch()
    routes = [b.path([b.link(1e9)]), b.path([b.link(2e9), 0])]
    first = b.compute([lanes[0]], 5, writes=[registers[1]])
    a = b.compute([lanes[2]], 7, writes=registers, actor=3)
    c = b.compute([lanes[1]], 7, after=[first], writes=[registers[0]], actor=3)
    b.compute([lanes[0], lanes[2]], 9, priority=2, reads=[(a, registers[1]), (c, registers[0])])
    b.compute([lanes[1]], 9, priority=2, after=[first], reads=[(a, registers[0])])
    for route, payload in ((1, 30), (0, 40)):
        b.transfer(
            lanes[:2], 1, payload_bytes=payload, route=routes[route], reads=[(a, registers[0])]
        )
    b.compute([lanes[0]], 1, after=[6])
    return b.build()


def many_at_once() -> TaskGraph:
    b, lanes, registers = switch()
    b.link(1e9), b.link(2e9)
    routes = [b.path([0]), b.path([1, 0])]
    first = b.compute([lanes[0]], 5, writes=[registers[1]])
    writes = np.array([registers, [registers[0], -1]])
    wrote = b.computes(
        np.array([lanes[2], lanes[1]]), 7, actor=3, after=np.array([-1, first]), writes=writes
    )
    (a0, a1), (c0, none) = wrote.items.tolist()
    assert none == -1
    b.computes(
        np.array([[lanes[2], lanes[0]], [lanes[1], -1]]),
        9,
        priority=2,
        after=np.array([-1, first]),
        reads=np.array([[c0, a1], [a0, a0]]),
    )
    b.transfers(
        np.tile(lanes[:2], (2, 1)),
        1,
        payload_bytes=np.array([30, 40]),
        route=np.array(routes)[::-1],
        reads=np.array([a0, a0]),
    )
    b.compute([lanes[0]], 1, after=[b.tasks - 1])
    return b.build()


def test_many_at_once_give_the_same_graph_as_one_at_a_time():
    assert many_at_once().sha256() == one_at_a_time().sha256()


def test_a_block_may_read_what_it_writes():
    b, lanes, registers = switch()
    added = b.computes(
        np.full(3, lanes[0]), 1, reads=np.array([-1, 0, 1]), writes=np.full(3, registers[0])
    )
    graph = b.build()
    assert list(added.tasks) == added.items[:, 0].tolist() == [0, 1, 2]
    assert [graph.row("dep", task) for task in range(3)] == [[], [0], [1]]


def test_columns_that_are_the_same_everywhere_take_one_number_and_ids_32_bits():
    b = GraphBuilder()
    lane = b.lane(0)
    b.computes(np.full(1000, lane), np.arange(1000), after=np.arange(1000) - 1)
    graph = b.build()
    held = [graph.payload_bytes, graph.route, graph.priority, graph.actor, graph.out_ptr]
    assert all(column.strides == (0,) for column in held)
    assert graph.dep_idx.dtype == graph.lane_ptr.dtype == np.int32
    assert graph.duration_ps.dtype == np.int64


def test_ids_that_need_more_than_32_bits_keep_them():
    b = GraphBuilder()
    b.computes(np.full(2, b.lane(0)), 1, priority=np.array([2**40, 1]))
    assert b.build().priority.tolist() == [2**40, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"lanes": np.array([0, -1])},
        {"lanes": np.array([0, 0]), "duration_ps": np.array([1, -1])},
        {"lanes": np.array([0, 0]), "after": np.array([-1, 1])},
        {"lanes": np.array([0, 0]), "after": np.array([-1, -2])},
    ],
)
def test_what_one_task_may_not_be_none_of_many_may(wrong):
    b = GraphBuilder()
    b.lane(0)
    with pytest.raises(PlanError, match="task 1: needs a lane"):
        b.computes(**({"duration_ps": 1} | wrong))
    assert b.tasks == 0


def test_rows_must_be_as_many_as_tasks():
    b = GraphBuilder()
    with pytest.raises(PlanError, match=r"a block of 2 tasks: .* \(3,\)"):
        b.computes(np.full(2, b.lane(0)), 1, after=np.full(3, -1))


def test_equal_routes_share_an_id_however_they_are_added():
    b = GraphBuilder()
    for _ in range(4):
        b.link(1e9)
    many = b.paths(np.array([[2, 3], [0, 1], [2, 3]]))
    assert many[0] == many[2] != many[1]
    assert b.path([2, 3]) == many[0]
    assert b.path([0, 2]) == 2
    assert b.paths(np.array([[0, 2], [3, 0]])).tolist() == [2, 3]
    graph = b.build()
    assert [graph.row("route", route) for route in range(4)] == [[0, 1], [2, 3], [0, 2], [3, 0]]


def test_a_graph_without_tasks_has_no_rows():
    graph = GraphBuilder().build()
    assert graph.tasks == 0
    assert graph.dep_ptr.tolist() == graph.lane_ptr.tolist() == [0]


def test_what_is_waited_for_ascends_and_is_earlier():
    def waits(*ids):
        b = GraphBuilder()
        b.computes(np.array([b.lane(0)] * 3), 1)
        rows = Rows(lengths=np.array([1, 0, len(ids) - 1]), ids=np.array(ids))
        none = Rows(lengths=0, ids=np.zeros(0, dtype=np.int32))
        columns = dict.fromkeys(("duration_ps", "payload_bytes", "priority", "actor"), 0)
        lanes = Rows(lengths=1, ids=np.zeros(3, dtype=np.int32))
        b.extend({**columns, "route": -1}, 3, lane=lanes, dep=rows, out=none, **{"in": none})
        return b.build().rows("dep")[3:]

    assert waits(2, 1, 4) == [[2], [], [1, 4]]
    for ids, task in (((2, 4, 1), 5), ((2, 1, 1), 5), ((3, 1), 3), ((-1, 1), 3), ((2, 1, 5), 5)):
        with pytest.raises(PlanError, match=f"task {task}: .* ascending"):
            waits(*ids)

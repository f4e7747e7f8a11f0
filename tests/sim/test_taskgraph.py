"""The graph builder: ids are positions, and what cannot be is refused."""

import pytest

from hwprofiles.errors import PlanError
from sim.graphbuilder import GraphBuilder


def test_reading_makes_a_task_depend_on_the_writer():
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    writer = b.compute([lane], 1, writes=[register])
    reader = b.compute([lane], 1, reads=[(writer, register)])
    graph = b.build()
    assert graph.row("dep", reader) == [writer]
    assert graph.item_readers() == [[reader]]
    assert graph.item_task().tolist() == [writer]


def test_a_reader_of_a_register_written_twice_by_one_task_reads_both_items():
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 2, 8)
    writer = b.compute([lane], 1, writes=[register, register])
    reader = b.compute([lane], 1, reads=[(writer, register)])
    assert b.build().item_readers() == [[reader], [reader]]


def test_reading_what_a_task_does_not_write_is_refused():
    b = GraphBuilder()
    lane, register = b.lane(0), b.register(0, 1, 8)
    writer = b.compute([lane], 1)
    with pytest.raises(PlanError, match=r"reads \[\(0, 0\)\] as \(writer, register\)"):
        b.compute([lane], 1, reads=[(writer, register)])


@pytest.mark.parametrize(
    ("lanes", "duration_ps", "after"), [([], 1, []), ([0], -1, []), ([0], 1, [0]), ([0], 1, [-1])]
)
def test_a_task_without_lane_with_negative_duration_or_a_later_dependency_is_refused(
    lanes, duration_ps, after
):
    b = GraphBuilder()
    b.lane(0)
    with pytest.raises(PlanError, match="task 0: needs a lane"):
        b.compute(lanes, duration_ps, after=after)
    assert b.tasks == 0


def test_equal_routes_share_an_id():
    b = GraphBuilder()
    links = [b.link(1.0), b.link(2.0)]
    assert b.path(links) == b.path(links)
    assert b.path(links, 1.0) != b.path(links)


def test_equal_graphs_have_equal_hashes_and_others_do_not():
    def graph(duration_ps: int):
        b = GraphBuilder()
        b.compute([b.lane(0)], duration_ps)
        return b.build()

    assert graph(1).sha256() == graph(1).sha256()
    assert graph(1).sha256() != graph(2).sha256()

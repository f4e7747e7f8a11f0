"""Links that slow down, fail or carry another job: times worked out by hand."""

import math

import pytest
from hypothesis import given, settings

from hwprofiles.errors import LinkLost
from sim.disturbances import Disturbances, LinkChange, Traffic
from sim.graphbuilder import GraphBuilder
from sim.simpy_engine import simulate
from tests.strategies import flow_graphs

ROUNDED_PS = 3
"""Every new rate rounds an end up by a picosecond at most."""


def two_transfers(payload: int = 1000):
    """Two transfers one after the other over link 0, 1 byte a picosecond; link 1 stands beside."""
    b = GraphBuilder()
    links = [b.link(1e12), b.link(0.5e12)]
    lane, route = b.lane(0), b.path(links[:1])
    first = b.transfer([lane], 0, payload_bytes=payload, route=route)
    b.transfer([lane], 0, payload_bytes=payload, route=route, after=[first])
    return b.build()


def ends(*changes, traffic=(), **more):
    found = Disturbances(changes=changes, traffic=traffic, **more)
    found_ps = simulate(two_transfers(), disturbances=found).end_ps
    return pytest.approx(found_ps.tolist(), abs=ROUNDED_PS)


def test_a_link_that_slows_down_in_a_transfer_carries_the_rest_slower():
    """500 bytes at 1, 500 at a quarter; then 1000 at a quarter."""
    assert ends(LinkChange(at_ps=500, link=0, factor=0.25)) == [2500, 6500]


def test_a_link_that_recovers_is_as_fast_as_before():
    slow, again = (
        LinkChange(at_ps=500, link=0, factor=0.5),
        LinkChange(at_ps=700, link=0, factor=1.0),
    )
    assert ends(slow, again) == [1100, 2100]


def test_what_a_failed_link_has_not_carried_goes_another_way():
    """400 bytes are there; 600 and then 1000 go over link 1 at half the rate."""
    other = {"detour": lambda links, failed: [1]}
    assert ends(LinkChange(at_ps=400, link=0, factor=0.0), **other) == [1600, 3600]


def test_without_another_way_the_run_stops_and_says_where():
    with pytest.raises(LinkLost, match="link 0 has failed, and transfer 0 has no other way"):
        ends(LinkChange(at_ps=400, link=0, factor=0.0))
    assert ends(LinkChange(at_ps=2100, link=0, factor=0.0)) == [1000, 2000]


def test_another_job_takes_its_share_and_no_more_than_it_wants():
    assert ends(traffic=[Traffic(link=0, most_bytes_per_s=math.inf)]) == [2000, 4000]
    assert ends(traffic=[Traffic(link=0, most_bytes_per_s=0.2e12)]) == [1250, 2500]
    assert ends(traffic=[Traffic(link=1, most_bytes_per_s=1e12)]) == [1000, 2000]


@given(graph=flow_graphs())
@settings(max_examples=20, deadline=None)
def test_changes_that_change_nothing_leave_every_time_as_it_was(graph):
    same = tuple(LinkChange(at_ps=at, link=0, factor=1.0) for at in (0, 7, 100))
    assert simulate(graph, disturbances=Disturbances(changes=same)).equals(simulate(graph))

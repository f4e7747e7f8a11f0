"""The transfer law: overheads add, bandwidths take the minimum, measured points are met."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwprofiles.errors import ProfileError
from hwprofiles.link import Link, Route

REL_FLOAT64 = 1e-9  # a handful of roundings of 1.1e-16, with room
SIZES = st.floats(0, 1e12)


@st.composite
def links(draw):
    """A valid link: sizes rise, overheads never fall."""
    sizes = sorted(draw(st.sets(st.integers(0, 10**9), min_size=1, max_size=6)))
    steps = draw(st.lists(st.floats(0, 1e-3), min_size=len(sizes), max_size=len(sizes)))
    return Link(
        name="l",
        bandwidth_bytes_per_s=draw(st.floats(1e6, 1e12)),
        overheads=tuple(zip(map(float, sizes), np.cumsum(steps).tolist(), strict=True)),
        flow_cap_bytes_per_s=draw(st.one_of(st.just(float("inf")), st.floats(1e6, 1e12))),
    )


def route(*path):
    return Route(links=path, link_ids=tuple(range(len(path))))


@st.composite
def samples(draw):
    """Measured times of rising sizes: noisy, so that a larger size may be faster."""
    sizes = sorted(draw(st.sets(st.integers(1, 2**28), min_size=2, max_size=12)))
    seconds = [draw(st.floats(0.7, 1.4)) * (5e-6 + size / 8e9) for size in sizes]
    return list(zip(map(float, sizes), seconds, strict=True))


@given(link=links(), size=SIZES, more=SIZES)
def test_more_bytes_are_never_faster(link, size, more):
    assert route(link).transfer_s(size + more) >= route(link).transfer_s(size)


@given(path=st.lists(links(), min_size=1, max_size=4), size=SIZES)
def test_overheads_of_a_route_add_and_bandwidths_take_the_minimum(path, size):
    slowest = min(min(link.bandwidth_bytes_per_s, link.flow_cap_bytes_per_s) for link in path)
    expected_s = sum(link.overhead_s(size) for link in path) + size / slowest
    assert route(*path).transfer_s(size) == pytest.approx(expected_s, rel=REL_FLOAT64)


@given(path=st.lists(links(), max_size=3), sizes=st.lists(SIZES, min_size=1, max_size=5))
def test_arrays_give_what_scalars_give(path, sizes):
    together = route(*path).transfer_s(np.array(sizes))
    assert together.tolist() == [route(*path).transfer_s(size) for size in sizes]


def test_a_route_without_links_takes_no_time():
    assert route().transfer_s(1e9) == 0.0


def test_a_link_of_latency_and_bandwidth_is_checked_on_paper():
    nvlink = Link(name="n", bandwidth_bytes_per_s=25e9, overheads=((0.0, 2e-6),))
    assert route(nvlink).transfer_s(25e6) == pytest.approx(1.002e-3)


@given(samples())
def test_measured_points_are_met_or_never_undercut(points):
    assume(points[-1][1] > points[-2][1])  # else no bandwidth can be read off
    lane = route(Link.from_samples("l", points, source="test"))
    for size, seconds in points:
        assert lane.transfer_s(size) >= seconds * (1 - REL_FLOAT64)


@given(st.floats(1e-7, 1e-4), st.floats(1e8, 1e11), st.sets(st.integers(0, 2**28), min_size=2))
def test_a_linear_link_is_recovered_exactly(latency_s, bytes_per_s, sizes):
    points = [(float(size), latency_s + size / bytes_per_s) for size in sizes]
    assume(max(sizes) - sorted(sizes)[-2] > 2**16)  # else the slope is lost in rounding
    lane = route(Link.from_samples("l", points, source="test"))
    for size, seconds in points:
        assert lane.transfer_s(size) == pytest.approx(seconds, rel=1e-6)


def test_rising_times_are_reproduced_within_rounding():
    # Slower past 1 MiB, as a copy that leaves the cache: 20 GB/s, then 5 GB/s.
    points = [(1024.0, 1e-6), (65536.0, 5e-6), (2.0**20, 5.5e-5), (2.0**23, 1.6e-3)]
    lane = route(Link.from_samples("l", points, source="test"))
    assert [lane.transfer_s(size) for size, _ in points] == pytest.approx(
        [seconds for _, seconds in points], rel=REL_FLOAT64
    )
    slope = (1.6e-3 - 5.5e-5) / (2.0**23 - 2.0**20)
    beyond_s = 1.6e-3 + (2.0**26 - 2.0**23) * slope
    assert lane.transfer_s(2.0**26) == pytest.approx(beyond_s, rel=REL_FLOAT64)


@pytest.mark.parametrize(
    "points",
    [[(1e6, 1e-3)], [(1e6, 1e-3), (1e6, 2e-3)], [(1e6, 2e-3), (2e6, 1e-3)], [(0, 0.0), (1, 1.0)]],
)
def test_samples_that_say_no_bandwidth_are_refused(points):
    with pytest.raises(ProfileError, match="link 'l': "):
        Link.from_samples("l", points, source="test")


@pytest.mark.parametrize(
    ("bandwidth", "overheads"),
    [
        (0.0, ((0.0, 0.0),)),
        (float("nan"), ((0.0, 0.0),)),
        (1e9, ()),
        (1e9, ((0.0, -1.0),)),
        (1e9, ((0.0, 2.0), (1.0, 1.0))),
        (1e9, ((1.0, 1.0), (0.0, 2.0))),
    ],
)
def test_an_impossible_link_is_refused(bandwidth, overheads):
    with pytest.raises(ProfileError, match="link 'l'"):
        Link(name="l", bandwidth_bytes_per_s=bandwidth, overheads=overheads)

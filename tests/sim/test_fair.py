"""Max-min fairness, proved by its definition with exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.units import to_ps
from sim.fair import fair_rates, finish_ps
from tests.oracles import fair_by_raising_all

pytestmark = pytest.mark.slow

LINKS = 6
REL_FLOAT64 = 1e-9

links_of_flow = st.sets(st.integers(0, LINKS - 1), min_size=1, max_size=4).map(sorted)
numbers = st.builds(Fraction, st.integers(1, 50), st.sampled_from((1, 2, 3, 7, 50)))
caps = st.one_of(numbers, st.just(Fraction(10**6)))


@st.composite
def sharings(draw):
    flows = draw(st.lists(st.tuples(links_of_flow, caps), max_size=10))
    bandwidth = draw(st.lists(numbers, min_size=LINKS, max_size=LINKS))
    return [links for links, _ in flows], [cap for _, cap in flows], bandwidth


@settings(max_examples=500, deadline=None)
@given(sharings())
def test_rates_are_feasible_and_every_flow_is_fastest_on_a_full_link_of_its_own(sharing):
    links, cap, bandwidth = sharing
    rates = fair_rates(links, cap, bandwidth)
    assert all(0 < rate <= limit for rate, limit in zip(rates, cap, strict=True))
    on = [[f for f, crossed in enumerate(links) if link in crossed] for link in range(LINKS)]
    used = [sum((rates[f] for f in flows), Fraction(0)) for flows in on]
    assert all(u <= b for u, b in zip(used, bandwidth, strict=True))
    for flow, crossed in enumerate(links):
        full = [link for link in crossed if used[link] == bandwidth[link]]
        bottleneck = any(rates[flow] == max(rates[f] for f in on[link]) for link in full)
        assert rates[flow] == cap[flow] or bottleneck


@settings(max_examples=200, deadline=None)
@given(sharings())
def test_filling_by_the_tightest_link_equals_raising_all_flows_together(sharing):
    assert fair_rates(*sharing) == fair_by_raising_all(*sharing)


@settings(max_examples=300, deadline=None)
@given(sharings())
def test_floats_are_near_the_fractions(sharing):
    links, cap, bandwidth = sharing
    exact = fair_rates(links, cap, bandwidth)
    rounded = fair_rates(links, [float(c) for c in cap], [float(b) for b in bandwidth])
    assert rounded == pytest.approx([float(rate) for rate in exact], rel=REL_FLOAT64)


@settings(max_examples=200, deadline=None)
@given(sharings(), sharings(), st.randoms(use_true_random=False))
def test_solving_components_together_or_apart_gives_the_same_bits(one, other, rng):
    floats = [
        (links, [float(c) / 3 for c in cap], [float(b) / 3 for b in bandwidth])
        for links, cap, bandwidth in (one, other)
    ]
    apart = fair_rates(*floats[0]) + fair_rates(*floats[1])
    shifted = [[link + LINKS for link in links] for links in floats[1][0]]
    links = floats[0][0] + shifted
    cap = floats[0][1] + floats[1][1]
    # Interleave the two sets of flows, each in its own order.
    sides = [0] * len(floats[0][0]) + [1] * len(shifted)
    rng.shuffle(sides)
    turns = {0: iter(range(len(floats[0][0]))), 1: iter(range(len(floats[0][0]), len(links)))}
    order = [next(turns[side]) for side in sides]
    bandwidth = floats[0][2] + floats[1][2]
    together = fair_rates([links[f] for f in order], [cap[f] for f in order], bandwidth)
    assert together == [apart[f] for f in order]


@settings(max_examples=300, deadline=None)
@given(sharings(), st.randoms(use_true_random=False))
def test_two_of_each_flow_have_the_rate_of_one_to_the_bit(sharing, rng):
    """A link has a twin, or twice the bandwidth; who crosses which of two twins is any turn."""
    rows, cap, bandwidth = sharing
    caps, rates = [float(c) / 3 for c in cap], [float(b) / 3 for b in bandwidth]
    is_wider = [rng.random() < 0.5 for _ in range(LINKS)]
    twice, wide = [], [2 * b if w else b for b, w in zip(rates, is_wider, strict=True)] + rates
    for row in rows:
        turn = {link: 0 if is_wider[link] else rng.choice((0, LINKS)) for link in row}
        other = {link: 0 if is_wider[link] else LINKS - turn[link] for link in row}
        twice += [[link + own[link] for link in row] for own in (turn, other)]
    order = rng.sample(range(len(twice)), len(twice))
    found = fair_rates([twice[i] for i in order], [caps[i // 2] for i in order], wide)
    once = fair_rates(rows, caps, rates)
    assert found == [once[i // 2] for i in order]


def test_no_flows_have_no_rates():
    assert fair_rates([], [], [1.0]) == []


def test_an_infinite_cap_does_not_bind():
    assert fair_rates([[0], [0]], [float("inf"), 1.0], [4.0]) == [3.0, 1.0]


@given(
    remaining=st.integers(1, 10**12),
    rate=st.floats(1e6, 1e13),
    now=st.integers(0, 10**15),
)
def test_a_finish_is_the_link_law_to_the_bit_and_at_least_1_ps_away(remaining, rate, now):
    assert finish_ps(remaining, rate, now) == now + max(1, to_ps(remaining / rate))


def test_a_finish_with_fractions_is_rounded_up():
    assert finish_ps(Fraction(10, 3), Fraction(10**12), 5) == 9
    assert finish_ps(Fraction(3), Fraction(10**12), 5) == 8


def test_dust_left_of_a_flow_takes_one_picosecond():
    assert finish_ps(-1e-12, 1e12, 7) == 8

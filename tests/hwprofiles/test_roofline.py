"""The roofline: overhead, then the slower of arithmetic and traffic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.roofline import roofline_s

RATES = {"flop_per_s": 2e12, "bytes_per_s": 1e11, "overhead_s": 1e-6}
WORK = st.floats(0, 1e15)


def test_arithmetic_bounds_above_the_ridge_and_memory_below_it():
    # The ridge is at 2e12 / 1e11 = 20 FLOP/byte.
    assert roofline_s(2e9, 1e6, **RATES) == pytest.approx(1e-6 + 1e-3)
    assert roofline_s(1e6, 1e8, **RATES) == pytest.approx(1e-6 + 1e-3)


@given(flop=WORK, moved_bytes=WORK, more=WORK)
def test_more_work_is_never_faster(flop, moved_bytes, more):
    least_s = roofline_s(flop, moved_bytes, **RATES)
    assert roofline_s(flop + more, moved_bytes, **RATES) >= least_s
    assert roofline_s(flop, moved_bytes + more, **RATES) >= least_s


@given(flop=WORK, moved_bytes=WORK, more=WORK)
def test_traffic_that_is_not_hidden_takes_longer_at_most_twice(flop, moved_bytes, more):
    hidden_s = roofline_s(flop, moved_bytes, **RATES)
    added_s = roofline_s(flop, moved_bytes, hidden=False, **RATES)
    assert hidden_s <= added_s <= 2 * hidden_s
    assert roofline_s(flop + more, moved_bytes, hidden=False, **RATES) >= added_s


@given(st.lists(st.tuples(WORK, WORK), min_size=1))
def test_arrays_give_what_scalars_give(work):
    flop, moved_bytes = np.array(work).T
    together = roofline_s(flop, moved_bytes, **RATES)
    assert together.tolist() == [roofline_s(f, b, **RATES) for f, b in work]

"""Dropout: masks at the stated rate, independent of one another, and the same on every plan."""

from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.kernels import Stream, dropout
from runtime.kernels.dropout import LANE_VALUES, draw, mix, sample_keys

FIRST = Stream(seed=1, step=2, op=3, first=4)
SIGMAS = 5
"""A deviation this large has a chance of 6e-7; all draws here are fixed by their seeds."""


def mask_of(stream: Stream, samples: int, elements: int, share: float = 0.5, room: int = 8192):
    kept = np.empty((samples, elements), np.bool_)
    draw(kept, round(share * LANE_VALUES), stream, np.empty((2, room), np.uint64))
    return kept


def test_the_mixing_is_that_of_splitmix64():
    """Outputs of the published generator for the seed 1234567."""
    words = np.array([1234567 + dropout.GAMMA * i & 2**64 - 1 for i in (1, 2, 3)], np.uint64)
    mix(words, np.empty_like(words))
    assert words.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("percent", [0, 1, 40, 50, 99])
def test_the_rate_is_the_one_asked_for_and_the_mean_stays(percent):
    x, y = np.ones((500, 801)), np.empty((500, 801))
    mask, work = np.empty(x.shape, np.uint8), np.empty((2, 8192), np.int64)
    dropout.forward(x, y, mask, work, percent=percent, stream=lambda: FIRST)
    share = percent / 100
    sigma = (share * (1 - share) / x.size) ** 0.5
    assert abs((1 - mask.mean()) - share) <= SIGMAS * sigma + 0.5 / LANE_VALUES
    assert y.mean() == pytest.approx(1, abs=SIGMAS * sigma / (1 - share) + 1e-4)
    assert set(mask.ravel().tolist()) <= {0, 1}


def dependence(one, other, share=0.5):
    """How far the agreement of two masks is from that of independent ones, in sigmas."""
    agreement = share**2 + (1 - share) ** 2
    sigma = (agreement * (1 - agreement) / one.size) ** 0.5
    return abs((one == other).mean() - agreement) / sigma


def check_independence(share):
    """Samples, elements, steps, ops, seeds and neighbouring batches, each against the next."""
    mask = mask_of(FIRST, 64, 4096, share)
    others = [FIRST._replace(seed=2), FIRST._replace(step=3), FIRST._replace(op=4)]
    others += [FIRST._replace(step=3, op=2), FIRST._replace(first=4 + 64)]
    for other in others:
        assert dependence(mask, mask_of(other, 64, 4096, share), share) < SIGMAS
    for i, j in pairwise(range(64)):
        assert dependence(mask[i], mask[j], share) < SIGMAS
    for lag in range(1, 9):
        assert dependence(mask[:, lag:], mask[:, :-lag], share) < SIGMAS
    by_sample, by_element = mask.mean(axis=1), mask.mean(axis=0)
    deviation = (share * (1 - share)) ** 0.5
    assert by_sample.std() == pytest.approx(deviation / 4096**0.5, rel=0.5)
    assert by_element.std() == pytest.approx(deviation / 64**0.5, rel=0.1)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_masks_are_independent(share):
    check_independence(share)


def without_the(field):
    return lambda stream, samples: sample_keys(stream._replace(**{field: 0}), samples)


FAULTS = {
    **{f"no {field}": without_the(field) for field in ("seed", "step", "op", "first")},
    "one sample's mask for all": lambda stream, n: np.repeat(sample_keys(stream, 1), n),
    "unmixed keys": lambda stream, n: np.arange(n, dtype=np.uint64) * dropout.GAMMA + stream.first,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_of_independence_sees(fault):
    with patch.object(dropout, "sample_keys", FAULTS[fault]), pytest.raises(AssertionError):
        check_independence(0.5)


@settings(max_examples=60, deadline=None)
@given(
    elements=st.integers(1, 70),
    parts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    first=st.integers(0, 1000),
    room=st.integers(1, 40),
)
def test_a_sample_has_the_same_mask_in_any_microbatch_and_workspace(elements, parts, first, room):
    whole = mask_of(FIRST._replace(first=first), sum(parts), elements)
    at = 0
    for samples in parts:
        stream = FIRST._replace(first=first + at)
        part = mask_of(stream, samples, elements, room=max(room, samples))
        np.testing.assert_array_equal(part, whole[at : at + samples])
        at += samples


def test_maps_are_masked_sample_by_sample_too():
    x, work = np.ones((3, 2, 5, 7)), np.empty((2, 64), np.int64)
    y, mask = np.empty_like(x), np.empty(x.shape, np.uint8)
    dropout.forward(x, y, mask, work, percent=50, stream=lambda: FIRST)
    np.testing.assert_array_equal(mask.reshape(-1, 7).T, mask_of(FIRST, 7, 30))

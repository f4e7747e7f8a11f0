"""Maps are turned piece by piece."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.kernels import flatten


def check_turned(places, samples, piece, kernel=flatten.forward):
    x = np.arange(places * samples, dtype=np.float32).reshape(places, 1, 1, samples)
    y = np.full((samples, places), np.nan, np.float32)
    with patch.object(flatten, "PIECE", piece):
        kernel(x, y)
    np.testing.assert_array_equal(y, x.reshape(places, samples).T)


@settings(max_examples=50, deadline=None)
@given(places=st.integers(1, 40), samples=st.integers(1, 9), piece=st.integers(1, 100))
def test_pieces_make_up_all_vectors(places, samples, piece):
    check_turned(places, samples, piece)


def test_a_last_piece_left_out_is_caught():
    def whole_pieces(x, y):
        step = flatten.PIECE // len(y)
        flatten.forward(x[: len(x) // step * step], y[:, : len(x) // step * step])

    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check_turned(7, 2, 6, whole_pieces)

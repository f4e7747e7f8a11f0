"""Units: one rounding to picoseconds, and text that is read one way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofiles.errors import UnitError
from hwprofiles.units import format_bytes, format_frac, format_s, parse_bytes, to_ps


@given(st.floats(0, 1e3))
def test_rounding_to_picoseconds_never_shortens_a_duration(seconds):
    assert to_ps(seconds) >= seconds * 1e12


@given(st.lists(st.floats(0, 1e3), min_size=1))
def test_arrays_round_as_their_elements_do(values):
    assert to_ps(np.array(values)).tolist() == [to_ps(value) for value in values]


def test_kilo_and_kibi_are_never_taken_for_each_other():
    assert parse_bytes("1KB") == 1000
    assert parse_bytes("1 KiB") == 1024
    assert parse_bytes("1.5GiB") == 3 * 2**29


@pytest.mark.parametrize("text", ["", "KB", "1 XB", "-1", "1 2"])
def test_a_size_that_cannot_be_read_is_refused(text):
    with pytest.raises(UnitError, match="expected a number"):
        parse_bytes(text)


def test_formatters_print_a_unit():
    assert format_s(2.5e-6) == "2.5 us"
    assert format_bytes(16_935_682_048) == "16.9 GB"
    assert format_frac(0.5) == "50.0 %"

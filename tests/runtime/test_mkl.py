"""MKL's products: what they are, the same bits wherever operands lie, on one thread."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofiles.errors import BackendUnavailable
from planner.registers import ALIGNMENT_BYTES
from runtime.backends import mkl
from tests.runtime.kernel_cases import seeds

try:
    mkl.library()
except BackendUnavailable as error:
    pytest.skip(str(error), allow_module_level=True)

SIDES = st.one_of(st.integers(1, 40), st.sampled_from([64, 127, 192]))


def drawn(seed, shape, is_turned, dtype, at=0):
    """Return a matrix of ``shape``, or the transpose of one, that begins ``at`` bytes in a line."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    block = np.empty(values.nbytes + 2 * ALIGNMENT_BYTES, np.uint8)
    first = -block.ctypes.data % ALIGNMENT_BYTES + at
    matrix = block[first : first + values.nbytes].view(dtype)
    matrix = matrix.reshape(shape[::-1]).T if is_turned else matrix.reshape(shape)
    matrix[...] = values
    return matrix


def check_product(sides, turned, dtype, onto, seed):
    rows, deep, columns = sides
    a = drawn(seed, (rows, deep), turned[0], dtype)
    b = drawn(seed + 1, (deep, columns), turned[1], dtype)
    out = drawn(seed + 2, (rows, columns), False, dtype)
    expected = a.astype(np.float64) @ b + (out if onto else 0)
    mkl.product(a, b, out, onto=onto)
    allowed = 8 * (deep + 1) * np.finfo(dtype).eps
    np.testing.assert_allclose(out, expected, rtol=0, atol=allowed)


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(SIDES, SIDES, SIDES),
    turned=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from([np.float32, np.float64]),
    onto=st.booleans(),
    near_bytes=st.sampled_from([0, mkl.NEAR_BYTES]),
    seed=seeds,
)
def test_products_of_matrices_and_transposes_are_numpys(
    sides, turned, dtype, onto, near_bytes, seed
):
    with patch.object(mkl, "NEAR_BYTES", near_bytes):
        check_product(sides, turned, dtype, onto, seed)


def test_an_operand_read_by_columns_is_caught():
    with (
        patch.object(mkl, "_order", lambda a: mkl.TURNED),
        pytest.raises(AssertionError, match="Not equal to tolerance"),
    ):
        check_product((5, 5, 5), (False, False), np.float32, False, 0)


@settings(max_examples=20, deadline=None)
@given(
    sides=st.tuples(SIDES, SIDES, SIDES),
    turned=st.booleans(),
    places=st.tuples(*[st.integers(0, 15)] * 2),
    seed=seeds,
)
def test_bits_are_those_of_any_run_and_address(sides, turned, places, seed):
    rows, deep, columns = sides

    def run():
        a = drawn(seed, (rows, deep), turned, np.float32, 4 * places[0])
        b = drawn(seed, (deep, columns), False, np.float32, 4 * places[1])
        out = np.empty((rows, columns), np.float32)
        mkl.product(a, b, out)
        return a, b, out

    *kept, once = run()  # what is kept lies elsewhere than what comes
    *_, twice = run()
    assert kept
    assert once.tobytes() == twice.tobytes()


def test_a_worker_is_one_thread():
    assert mkl._mkl().MKL_Get_Max_Threads() == 1

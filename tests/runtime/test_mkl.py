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

SIDES = st.one_of(st.integers(0, 40), st.sampled_from([64, 127, 192]))
HOW = st.sampled_from(["rows", "columns", "rows apart", "all apart", "one row"])


def drawn(seed, shape, how, dtype, at=0):
    """Return matrices of ``shape`` that lie so, and begin ``at`` bytes in a cache line."""
    *many, rows, columns = shape
    lies = {"columns": (columns, rows), "rows apart": (rows, columns + 3)}
    lies |= {"all apart": (2 * rows, 2 * columns), "one row": (1, columns)}
    values = np.random.default_rng(seed).standard_normal((*many, *lies.get(how, shape[-2:])))
    values = values.astype(dtype)
    block = np.empty(values.nbytes + 2 * ALIGNMENT_BYTES, np.uint8)
    first = -block.ctypes.data % ALIGNMENT_BYTES + at
    found = block[first : first + values.nbytes].view(dtype).reshape(values.shape)
    found[...] = values
    match how:
        case "columns":
            return found.swapaxes(-1, -2)
        case "rows apart":
            return found[..., :-3]
        case "all apart":
            return found[..., ::2, ::2]
    return np.broadcast_to(found, shape) if how == "one row" else found


def check_product(sides, many, how, dtype, onto, seed):
    rows, deep, columns = sides
    a = drawn(seed, (*many, rows, deep), how[0], dtype)
    b = drawn(seed + 1, (*many, deep, columns), how[1], dtype)
    out = drawn(seed + 2, (*many, rows, columns), how[2], dtype)
    expected = np.matmul(a.astype(np.float64), b) + (out if onto else 0)
    mkl.product(a, b, out=out, onto=onto)
    allowed = 8 * (deep + 1) * np.finfo(dtype).eps
    np.testing.assert_allclose(out, expected, rtol=0, atol=allowed)


@settings(max_examples=100, deadline=None)
@given(
    sides=st.tuples(SIDES, SIDES, SIDES),
    many=st.sampled_from([(), (3,), (2, 3), (0, 2)]),
    how=st.tuples(HOW, HOW, HOW.filter(lambda how: how != "one row")),
    dtype=st.sampled_from([np.float32, np.float64]),
    onto=st.booleans(),
    near_bytes=st.sampled_from([0, mkl.NEAR_BYTES]),
    seed=seeds,
)
def test_products_of_matrices_however_they_lie_are_numpys(
    sides, many, how, dtype, onto, near_bytes, seed
):
    with patch.object(mkl, "NEAR_BYTES", near_bytes):
        check_product(sides, many, how, dtype, onto, seed)


@pytest.mark.parametrize("how", ["rows", "columns", "rows apart"])
def test_matrices_whose_rows_or_columns_are_whole_are_mkls(how, monkeypatch):
    monkeypatch.setattr(np, "matmul", None)
    for many in ((), (2, 3)):
        a, b = drawn(0, (*many, 5, 6), how, np.float32), drawn(1, (*many, 6, 7), how, np.float32)
        mkl.product(a, b, out=drawn(2, (*many, 5, 7), "rows apart", np.float32))


def test_operands_that_mkl_does_not_know_are_numpys():
    a, out = np.ones((2, 3)), np.zeros((2, 5), np.float32)
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        mkl.product(a, np.ones((4, 5)), out=out.astype(np.float64))
    mkl.product(a, np.ones((3, 5)), out=out)
    np.testing.assert_array_equal(out, 3)


def test_a_product_short_of_a_row_is_caught():
    with (
        patch.object(mkl, "product", lambda a, b, out, onto: np.matmul(a[:, 1:], b[1:], out=out)),
        pytest.raises(AssertionError, match="Not equal to tolerance"),
    ):
        check_product((5, 5, 5), (), ("rows",) * 3, np.float32, False, 0)


@settings(max_examples=20, deadline=None)
@given(
    sides=st.tuples(SIDES, SIDES, SIDES),
    how=HOW,
    places=st.tuples(*[st.integers(0, 15)] * 2),
    seed=seeds,
)
def test_bits_are_those_of_any_run_and_address(sides, how, places, seed):
    rows, deep, columns = sides

    def run():
        a = drawn(seed, (rows, deep), how, np.float32, 4 * places[0])
        b = drawn(seed, (deep, columns), "rows", np.float32, 4 * places[1])
        out = np.empty((rows, columns), np.float32)
        mkl.product(a, b, out=out)
        return a, b, out

    *kept, once = run()  # what is kept lies elsewhere than what comes
    *_, twice = run()
    assert kept
    assert once.tobytes() == twice.tobytes()


def test_a_worker_is_one_thread():
    assert mkl._mkl().MKL_Get_Max_Threads() == 1

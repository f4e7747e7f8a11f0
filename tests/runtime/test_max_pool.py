"""Gradients of maximum pools by vectors of samples: those of each sample alone, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.kernels import max_pool
from tests.runtime.kernel_cases import pools, seeds


def check_samples(layer, samples, seed, dtype, kernel=max_pool.input_grad):
    call, rng = layer.call("input_grad", samples, dtype), np.random.default_rng(seed)
    shapes = {tensor.name: tensor.shape for tensor in call.tensors}
    x = rng.integers(-2, 2, shapes["x"]).astype(dtype)  # few values, so that several are largest
    y, dy = np.empty(shapes["y"], dtype), rng.standard_normal(shapes["y"]).astype(dtype)
    how = dict(call.attrs)
    max_pool.forward(x, y, **how)

    def gradient(of: slice) -> np.ndarray:
        given = [np.ascontiguousarray(maps[..., of]) for maps in (x, y, dy)]
        dx = np.full_like(given[0], np.nan)
        kernel(*given, dx, np.empty(given[0].shape[3], dtype), **how)
        return dx

    together = gradient(slice(None))
    alone = [gradient(slice(k, k + 1)) for k in range(samples)]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=3))


@settings(max_examples=30, deadline=None)
@given(
    layer=pools("max_pool"),
    samples=st.integers(1, 50),
    seed=seeds,
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_many_samples_have_the_gradients_of_each(layer, samples, seed, dtype):
    check_samples(layer, samples, seed, dtype)


@settings(max_examples=1, deadline=None)
@given(layer=pools("max_pool"))
def test_a_gradient_of_the_sample_beside_is_caught(layer):
    def of_neighbours(x, y, dy, dx, work, **how):
        max_pool.input_grad(x, y, np.roll(dy, 1, axis=3), dx, work, **how)

    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check_samples(layer, 17, 0, "float32", of_neighbours)

"""Gradients of kernels against central differences and PyTorch."""

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.kernel_cases import (
    EXAMPLES,
    OPTIMIZERS,
    dtypes,
    layers,
    seeds,
    tile_sizes,
    tiles,
    whole_groups,
)
from tests.runtime.kernel_checks import check_differences, check_loss_differences
from tests.runtime.kernel_torch import check_torch, check_torch_loss, check_torch_update


@EXAMPLES
@given(layer=layers(), samples=st.integers(1, 2), seed=seeds, small=tile_sizes)
def test_layer_gradients_equal_central_differences(layer, samples, seed, small):
    with tiles(small=small):
        check_differences(layer, whole_groups(layer, samples), seed)


@EXAMPLES
@given(samples=st.integers(1, 4), classes=st.integers(2, 6), seed=seeds)
def test_loss_gradient_equals_central_differences(samples, classes, seed):
    check_loss_differences(samples, classes, seed)


@EXAMPLES
@given(layer=layers(), samples=st.integers(1, 5), seed=seeds, dtype=dtypes, small=tile_sizes)
def test_layer_outputs_and_gradients_equal_pytorch(layer, samples, seed, dtype, small):
    with tiles(small=small):
        check_torch(layer, whole_groups(layer, samples), seed, dtype)


@EXAMPLES
@given(samples=st.integers(1, 5), classes=st.integers(2, 12), seed=seeds, dtype=dtypes)
def test_loss_and_its_gradient_equal_pytorch(samples, classes, seed, dtype):
    check_torch_loss(samples, classes, seed, dtype)


@EXAMPLES
@given(name=st.sampled_from(OPTIMIZERS), elements=st.integers(1, 20), seed=seeds, dtype=dtypes)
def test_three_updates_equal_those_of_pytorch(name, elements, seed, dtype):
    check_torch_update(name, elements, seed, dtype)

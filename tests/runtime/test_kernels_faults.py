"""Seeded faults: each oracle of the kernels is shown to fail."""

from dataclasses import replace

import numpy as np
import pytest

from planner import steps
from planner.layer import Layer
from runtime.kernels import Kernel
from tests.runtime.kernel_cases import logits_model, update_call, values
from tests.runtime.kernel_checks import (
    check_definition,
    check_differences,
    check_formula,
    check_layer_definitions,
    check_loss_differences,
    update_tensors,
)
from tests.runtime.kernel_faults import (
    FORMULA_FAULTS,
    FORWARD_FAULTS,
    GRADIENT_FAULTS,
    LINEAR,
    ROUNDLY_COUNTED_FAULTS,
    as_in_the_first_step,
    decayed_with_the_gradient,
    gradient_of_the_sum,
    with_fault,
    without_momentum,
)
from tests.runtime.kernel_torch import check_torch, check_torch_loss, check_torch_update, pytorch


def parameters(*rows: tuple[Layer, str, Kernel]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("layer", "name", "fault"), rows, ids=lambda v: str(v)[:24])


@parameters(*GRADIENT_FAULTS, *ROUNDLY_COUNTED_FAULTS)
def test_central_differences_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_differences(layer, 2, 0, with_fault(name, fault))


@parameters(*GRADIENT_FAULTS, *FORWARD_FAULTS)
def test_definitions_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_layer_definitions(layer, 2, 0, with_fault(name, fault))


@parameters(*FORMULA_FAULTS)
def test_formulas_catch_a_fault_in(layer, name, fault):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_formula(layer, 2, 0, with_fault(name, fault))


@parameters(*GRADIENT_FAULTS, *FORWARD_FAULTS, *ROUNDLY_COUNTED_FAULTS, *FORMULA_FAULTS)
def test_pytorch_catches_a_fault_in(layer, name, fault):
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch(layer, 2, 0, kernels=with_fault(name, fault))


FAULTY_LOSS = with_fault("softmax_cross_entropy.forward", gradient_of_the_sum)
UPDATE_FAULTS = pytest.mark.parametrize(
    ("name", "fault"),
    [("sgd", without_momentum), ("adamw", decayed_with_the_gradient)],
)


def test_definition_and_differences_catch_an_undivided_gradient_of_the_loss():
    call = steps.loss(logits_model(4), 3, "float64", 5)
    rng = np.random.default_rng(0)
    tensors = {"x": rng.normal(size=(3, 4)), "labels": np.array([0, 3, 1])}
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_definition(call, tensors, FAULTY_LOSS)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_loss_differences(3, 4, 0, FAULTY_LOSS)


def test_pytorch_catches_an_undivided_gradient_of_the_loss():
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_loss(3, 4, 0, kernels=FAULTY_LOSS)


@UPDATE_FAULTS
def test_definitions_catch_an_update_that_is(name, fault):
    call = update_call(name, 4)
    tensors = update_tensors(call, np.random.default_rng(0))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_definition(call, tensors, with_fault(f"{name}.update", fault))


@UPDATE_FAULTS
def test_pytorch_catches_an_update_that_is(name, fault):
    pytorch()
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_update(name, 4, 0, "float64", with_fault(f"{name}.update", fault))


def test_pytorch_catches_moments_that_stay_as_corrected_as_in_the_first_step():
    pytorch()
    faulty = with_fault("adamw.update", as_in_the_first_step)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_torch_update("adamw", 4, 0, "float64", faulty)


def test_counting_catches_a_multiply_add_declared_as_one_flop():
    tensors = values(LINEAR, 2, "float64", 0)
    call = LINEAR.call("forward", 2, "float64")
    with pytest.raises(AssertionError, match="FLOP counted"):
        check_definition(replace(call, flop=call.flop // 2), tensors)

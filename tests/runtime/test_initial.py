"""Initial parameters: equal on every worker and dtype, spread by fan-in."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from planner.model import Block, load_model
from runtime.initial import initial_parameters

FAN_IN = {
    "lenet-5": {"c1": 25, "c3": 150, "c5": 400, "f6": 120, "output": 84},
    "mlp": {"h1": 64, "h2": 512, "output": 512},
}


def by_name(model, flat):
    views, start = {}, 0
    for layer in model.layers:
        for name, shape in layer.parameters.items():
            views[layer.name, name] = flat[start : start + prod(shape)]
            start += prod(shape)
    assert start == len(flat)
    return views


def of_layers(*layers):
    block = Block(name="", layers=layers)
    return replace(load_model("mlp"), blocks=(block,), record_shape=layers[0].in_shape)


@pytest.mark.parametrize("name", FAN_IN)
def test_weights_are_normal_by_fan_in_and_biases_zero(name):
    model = load_model(name)
    for (layer, parameter), view in by_name(
        model, initial_parameters(model, "float64", seed=0)
    ).items():
        if parameter == "b":
            assert not view.any()
            continue
        scaled = view * FAN_IN[name][layer] ** 0.5
        standard_error = len(view) ** -0.5
        assert abs(scaled.mean()) < 4 * standard_error
        assert abs(scaled.std() - 1) < 4 * standard_error


def test_dtypes_start_alike_up_to_one_rounding():
    model = load_model("lenet-5")
    single, double = (initial_parameters(model, dtype, 0) for dtype in ("float32", "float64"))
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_the_seed_alone_decides():
    model = load_model("mlp")
    first, again, other = (initial_parameters(model, "float32", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.count_nonzero(first != other) > 0.99 * len(first[first != 0])


def test_a_layer_draws_the_same_whatever_the_others_are():
    model = load_model("mlp")
    other = of_layers(replace(model.layers[0], in_shapes=((65,),)), *model.layers[1:])
    views = by_name(model, initial_parameters(model, "float64", 0))
    others = by_name(other, initial_parameters(other, "float64", 0))
    np.testing.assert_array_equal(views["h2", "w"], others["h2", "w"])


def test_layers_of_one_shape_start_differently():
    model = load_model("mlp")
    twin = replace(model.layers[2], name="h3", inputs=("h2",))
    first, first_tanh, second, second_tanh, last = model.layers
    second_tanh = replace(second_tanh, inputs=("h3",))
    longer = of_layers(first, first_tanh, second, twin, second_tanh, last)
    views = by_name(longer, initial_parameters(longer, "float64", 0))
    assert not np.array_equal(views["h2", "w"], views["h3", "w"])


def test_scales_of_a_normalisation_start_at_one_and_convolutions_need_no_bias():
    model = load_model("resnet-18")
    views = by_name(model, initial_parameters(model, "float32", 0))
    assert ("stem.conv1", "b") not in views
    assert (views["stem.conv1_norm", "w"] == 1).all()
    assert not views["stem.conv1_norm", "b"].any()
    fan_in = 3 * 7 * 7
    assert abs(views["stem.conv1", "w"].std() * fan_in**0.5 - 1) < 0.05


def test_fan_in_of_a_grouped_convolution_is_that_of_its_group():
    model = load_model("mobilenet")
    views = by_name(model, initial_parameters(model, "float32", 0))
    assert abs(views["block9.depthwise", "w"].std() * 9**0.5 - 1) < 0.05

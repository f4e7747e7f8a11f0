"""Kernels compute what is defined, in value and FLOP."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planner import steps
from planner.layer import Layer
from runtime.kernels import kernel
from tests.runtime.kernel_cases import (
    COUNTED,
    EXAMPLES,
    OPTIMIZERS,
    gradients,
    keywords,
    layer,
    layers,
    logits_model,
    seeds,
    tile_sizes,
    tiles,
    trained,
    unset,
    update_call,
    values,
    whole_groups,
)
from tests.runtime.kernel_checks import (
    check_definition,
    check_formula,
    check_layer_definitions,
    update_tensors,
)
from tests.runtime.kernel_formulas import FORMULAS


def has_a_closed_form(layer: Layer) -> bool:
    """Whether every input is in one window, as the closed form of the pooling FLOP supposes."""
    attrs = dict(layer.attrs)
    window = attrs.get("window", 1)
    return layer.kind != "avg_pool" or (
        "stride" not in attrs and all(side % window == 0 for side in layer.in_shape[1:])
    )


@EXAMPLES
@given(
    layer=layers(COUNTED).filter(has_a_closed_form),
    samples=st.integers(1, 3),
    seed=seeds,
    small=tile_sizes,
)
def test_layer_kernels_equal_their_definitions_in_value_and_flop(layer, samples, seed, small):
    with tiles(small=small):
        check_layer_definitions(layer, samples, seed)


@EXAMPLES
@given(layer=layers(tuple(FORMULAS)), samples=st.integers(1, 5), seed=seeds, small=tile_sizes)
def test_forward_kernels_equal_their_formulas(layer, samples, seed, small):
    with tiles(small=small):
        check_formula(layer, whole_groups(layer, samples), seed)


IN_PLACE = ("relu", "gate", "dropout")
assert all(layer(kind, (1, 1, 1)).writes_in_place for kind in IN_PLACE)


@EXAMPLES
@given(layer=layers(IN_PLACE), samples=st.integers(1, 3), seed=seeds)
def test_work_in_place_gives_what_work_apart_does(layer, samples, seed):
    given = values(layer, samples, "float64", seed)
    apart = trained(layer, samples, given)
    tensors = {name: array.copy() for name, array in given.items()}
    over = {"forward": ("y", layer.input_names[0]), "input_grad": (gradients(layer)[0], "dy")}
    for phase, (result, source) in over.items():
        call = layer.call(phase, samples, "float64")
        for tensor in (*call.writes, *call.work):
            tensors[tensor.name] = unset(tensor)
        tensors[result] = tensors[source]
        kernel(call.kernel)(*(tensors[t.name] for t in call.tensors), **keywords(call))
    for name, array in apart.items():
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


@EXAMPLES
@given(elements=st.integers(1, 20), seed=seeds)
def test_sum_and_update_equal_their_definitions_in_value_and_flop(elements, seed):
    rng = np.random.default_rng(seed)
    updates = [update_call(name, elements) for name in OPTIMIZERS]
    for call in (steps.add(elements, "float64"), *updates):
        check_definition(call, update_tensors(call, rng))


@EXAMPLES
@given(samples=st.integers(1, 4), classes=st.integers(2, 6), more=st.integers(0, 5), seed=seeds)
def test_loss_equals_its_definition_in_value_and_flop(samples, classes, more, seed):
    rng = np.random.default_rng(seed)
    call = steps.loss(logits_model(classes), samples, "float64", samples + more)
    labels = rng.integers(0, classes, samples)
    check_definition(call, {"x": rng.normal(size=(samples, classes)), "labels": labels})

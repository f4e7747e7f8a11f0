"""Layer kinds: shapes, parameters and op calls, on numbers that can be checked on paper."""

import pytest

from hwprofiles.errors import ForeplanError
from hwprofiles.registry import names
from planner.model import Layer, load_model


def layer(kind, in_shape, **attrs):
    return Layer(name="l", kind=kind, in_shape=in_shape, attrs=tuple(sorted(attrs.items())))


LAYERS = [
    layer("conv2d", (3, 9, 7), channels=4, kernel=3, stride=2),
    layer("linear", (6,), features=5),
    layer("tanh", (2, 3, 4)),
    layer("avg_pool", (2, 6, 4), window=2),
    layer("flatten", (2, 3, 4)),
]
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda x: x.kind)


def test_every_kind_is_covered_here():
    assert sorted(x.kind for x in LAYERS) == names("planner.layers")


@pytest.mark.parametrize(
    ("layer", "out_shape"),
    list(zip(LAYERS, [(4, 4, 3), (5,), (2, 3, 4), (2, 3, 2), (24,)], strict=True)),
    ids=lambda x: getattr(x, "kind", ""),
)
def test_output_shape_of(layer, out_shape):
    assert layer.out_shape == out_shape


@pytest.mark.parametrize(
    ("layer", "parameters"),
    [
        (LAYERS[0], {"w": (4, 3, 3, 3), "b": (4,)}),
        (LAYERS[1], {"w": (6, 5), "b": (5,)}),
        *((layer, {}) for layer in LAYERS[2:]),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_parameters_of(layer, parameters):
    assert layer.parameters == parameters
    assert list(layer.parameters) == list(parameters)


@pytest.mark.parametrize(
    ("layer", "phase", "flop"),
    [
        (LAYERS[0], "forward", 2 * 2 * (4 * 3) * (4 * 3 * 3 * 3)),  # 2 n (P Q) (K C R S)
        (LAYERS[0], "weight_grad", 5184),
        (LAYERS[0], "input_grad", 5184),
        (LAYERS[1], "forward", 2 * 2 * 6 * 5),
        (LAYERS[1], "weight_grad", 120),
        (LAYERS[1], "input_grad", 120),
        (LAYERS[2], "forward", 2 * 24),
        (LAYERS[2], "input_grad", 3 * 2 * 24),
        (LAYERS[3], "forward", 2 * 48),
        (LAYERS[3], "input_grad", 2 * 48),
        (LAYERS[4], "forward", 0),
        (LAYERS[4], "input_grad", 0),
    ],
    ids=str,
)
def test_flop_of_two_samples(layer, phase, flop):
    assert layer.call(phase, 2, "float32").flop == flop


@every_layer
def test_flop_and_the_batch_grow_together(layer):
    phases = ["forward", "input_grad", *(["weight_grad"] if layer.parameters else [])]
    for phase in phases:
        one, seven = (layer.call(phase, samples, "float32") for samples in (1, 7))
        assert seven.flop == 7 * one.flop


@every_layer
def test_gradients_have_the_shapes_of_what_they_are_the_gradients_of(layer):
    forward, input_grad = (layer.call(p, 3, "float32") for p in ("forward", "input_grad"))
    shapes = {t.name: t.shape for t in forward.tensors}
    gradients = {t.name: t.shape for t in input_grad.tensors}
    assert gradients["dx"] == shapes["x"]
    assert gradients["dy"] == shapes["y"]
    if layer.parameters:
        weights = {t.name: t.shape for t in layer.call("weight_grad", 3, "float32").writes}
        assert weights == {"dw": shapes["w"], "db": shapes["b"]}


@every_layer
def test_only_the_parameterless_have_no_weight_gradient(layer):
    assert hasattr(layer.module, "weight_grad") == bool(layer.parameters)


@every_layer
def test_backward_reads_only_what_forward_leaves_or_the_output_gradient(layer):
    forward = layer.call("forward", 3, "float32")
    known = {(t.name, t.shape) for t in forward.tensors} | {
        ("dy", layer.tensor("dy", 3, "float32").shape)
    }
    for phase in ["input_grad", *(["weight_grad"] if layer.parameters else [])]:
        assert {(t.name, t.shape) for t in layer.call(phase, 3, "float32").reads} <= known


@every_layer
def test_dtype_of_the_call_is_that_of_its_tensors(layer):
    call = layer.call("forward", 3, "float64")
    assert {t.dtype for t in call.tensors} == {call.dtype} == {"float64"}


def test_columns_of_a_convolution_hold_every_window():
    (_, columns) = LAYERS[0].call("forward", 2, "float32").writes
    assert columns.elements == 3 * 3 * 3 * 2 * 4 * 3  # C R S n P Q


def test_stride_is_part_of_the_signature_where_it_changes_the_work():
    one, two = (layer("conv2d", (1, 5, 5), channels=1, kernel=1, stride=s) for s in (1, 2))
    phases = ("forward", "input_grad")
    for phase in phases:
        assert one.call(phase, 1, "float32").signature != two.call(phase, 1, "float32").signature


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ForeplanError, match=r"layer kind 'relu': unknown; .*known: avg_pool"):
        _ = layer("relu", (3,)).out_shape


def test_maps_keep_the_channel_axis_first_and_the_batch_last():
    c1, c5 = load_model("lenet-5").layers[0], load_model("lenet-5").layers[7]
    assert c1.tensor("y", 32, "float32").shape == (6, 28, 28, 32)
    assert c5.tensor("y", 32, "float32").shape == (32, 120)

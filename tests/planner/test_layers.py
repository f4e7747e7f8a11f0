"""Layer kinds: shapes, parameters and op calls, on numbers that can be checked on paper."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwprofiles.costs import CostBook
from hwprofiles.efficiency import with_efficiency
from hwprofiles.errors import ForeplanError
from hwprofiles.parts import load_device
from hwprofiles.registry import names
from planner.burden import MATMULS
from planner.layer import Layer
from planner.layers import attention, conv2d
from planner.model import load_model


def layer(kind, *in_shapes, **attrs):
    return Layer(
        name="l",
        kind=kind,
        in_shapes=in_shapes,
        inputs=tuple("abc"[: len(in_shapes)]),
        attrs=tuple(sorted(attrs.items())),
    )


MAPS, FACTORS, TOKENS = (2, 3, 4), (2, 1, 1), (5, 6)
CASES = [
    # layer, output shape, parameters, FLOP of two samples by phase
    (
        layer("conv2d", (3, 9, 7), channels=4, kernel=3, stride=2),
        (4, 4, 3),
        {"w": (4, 3, 3, 3), "b": (4,)},
        dict.fromkeys(["forward", "weight_grad", "input_grad"], 2 * 2 * (4 * 3) * (4 * 3 * 3 * 3)),
    ),
    (
        layer("linear", (6,), features=5),
        (5,),
        {"w": (6, 5), "b": (5,)},
        dict.fromkeys(["forward", "weight_grad", "input_grad"], 2 * 2 * 6 * 5),
    ),
    (layer("tanh", MAPS), MAPS, {}, {"forward": 2 * 24, "input_grad": 3 * 2 * 24}),
    (layer("sigmoid", MAPS), MAPS, {}, {"forward": 3 * 48, "input_grad": 3 * 48}),
    (layer("silu", MAPS), MAPS, {}, {"forward": 4 * 48, "input_grad": 8 * 48}),
    (layer("relu", MAPS), MAPS, {}, {"forward": 48, "input_grad": 48}),
    (layer("dropout", (7,), percent=20), (7,), {}, {"forward": 28, "input_grad": 28}),
    (layer("avg_pool", (2, 6, 4), window=2), (2, 3, 2), {}, {"forward": 96, "input_grad": 96}),
    (
        layer("max_pool", (2, 7, 7), window=3, stride=2),
        (2, 3, 3),
        {},
        {"forward": 2 * 18 * 9, "input_grad": 2 * 18 * 9},
    ),
    (layer("flatten", MAPS), (24,), {}, {"forward": 0, "input_grad": 0}),
    (layer("lrn", MAPS, size=3), MAPS, {}, {"forward": 48 * 7, "input_grad": 48 * 9}),
    (
        layer("batch_norm", MAPS),
        MAPS,
        {"w": (2,), "b": (2,)},
        {"forward": 6 * 48, "weight_grad": 4 * 48, "input_grad": 5 * 48},
    ),
    (layer("add", MAPS, MAPS, MAPS), MAPS, {}, {"forward": 2 * 48}),
    (layer("concat", MAPS, (5, 3, 4)), (7, 3, 4), {}, {"forward": 0, "input_grad": 0}),
    (layer("concat", TOKENS, (5, 2)), (5, 8), {}, {"forward": 0, "input_grad": 0}),
    (layer("upsample", MAPS, factor=3), (2, 9, 12), {}, {"forward": 0, "input_grad": 8 * 48}),
    (layer("gate", MAPS, FACTORS), MAPS, {}, {"forward": 48, "input_grad": 3 * 48}),
    (
        layer("embedding", (5,), vocab=7, features=3),
        (5, 3),
        {"w": (7, 3)},
        {"forward": 0, "weight_grad": 30},
    ),
    (
        layer("positions", TOKENS, positions=8),
        TOKENS,
        {"w": (8, 6)},
        {"forward": 60, "weight_grad": 60},
    ),
    (
        layer("layer_norm", TOKENS),
        TOKENS,
        {"w": (6,), "b": (6,)},
        {"forward": 7 * 60, "weight_grad": 5 * 60, "input_grad": 10 * 60},
    ),
    (layer("gelu", TOKENS), TOKENS, {}, {"forward": 8 * 60, "input_grad": 15 * 60}),
    (
        layer("attention", TOKENS, heads=2),
        (5, 2),
        {},
        {"forward": 2 * 2 * 2 * 25 * 2, "input_grad": 5 * 2 * 2 * 25 * 2},
    ),
    (
        layer("unembedding", TOKENS, vocab=7, bias=1),
        (5, 7),
        {"b": (7,)},
        dict.fromkeys(["forward", "weight_grad", "input_grad"], 2 * 2 * 5 * 6 * 7),
    ),
    (
        layer("pick_tokens", TOKENS, (9,), tokens=2, first=7),
        (2, 6),
        {},
        {"forward": 0, "input_grad": 24},
    ),
    (layer("first_token", TOKENS), (6,), {}, {"forward": 0, "input_grad": 0}),
    (
        layer("lstm", TOKENS, features=3),
        (5, 3),
        {"w": (9, 12), "b": (12,)},
        {
            "forward": 2 * 2 * 12 * (5 * 6 + 4 * 3),
            "weight_grad": 2 * 2 * 12 * (5 * 6 + 2 * 4 * 3),
            "input_grad": 2 * 2 * 12 * 5 * 6,
        },
    ),
]
LAYERS = [case[0] for case in CASES]
NO_INPUT_GRAD = ("add", "embedding", "positions")
"""Kinds whose input gradient is that of the output, or whose input is no float."""
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda x: x.kind)
every_case = pytest.mark.parametrize(
    ("layer", "out_shape", "parameters", "flop"), CASES, ids=lambda x: getattr(x, "kind", "")
)


def phases(layer):
    return [p for p in ("forward", "weight_grad", "input_grad") if hasattr(layer.module, p)]


def test_every_kind_is_covered_here():
    assert sorted({x.kind for x in LAYERS}) == names("planner.layers")


@every_case
def test_shapes_parameters_and_flop_of(layer, out_shape, parameters, flop):
    assert layer.out_shape == out_shape
    assert layer.parameters == parameters
    assert list(layer.parameters) == list(parameters)
    assert {p: layer.call(p, 2, "float32").flop for p in phases(layer)} == flop


@every_layer
def test_products_of_matrices_and_nothing_else_run_on_the_matrix_unit(layer):
    device = load_device("h200-sxm-141g")
    for phase in phases(layer):
        call = layer.call(phase, 2, "bfloat16")
        rate = device.curve(call.op_class, "bfloat16").flop_per_s
        is_product = call.kernel.startswith(MATMULS)
        assert is_product == (rate == device.peak_flop_per_s["bfloat16_matrix"])
        assert is_product == (call.work_class != "memory")


@every_layer
def test_flop_and_the_batch_grow_together(layer):
    for phase in phases(layer):
        one, seven = (layer.call(phase, samples, "float32") for samples in (1, 7))
        assert seven.flop == 7 * one.flop


@every_layer
def test_gradients_have_the_shapes_of_what_they_are_the_gradients_of(layer):
    forward = layer.call("forward", 3, "float32")
    shapes = {t.name: t.shape for t in (*forward.reads, *forward.writes)}
    assert ("input_grad" in phases(layer)) == (layer.kind not in NO_INPUT_GRAD)
    for phase in phases(layer)[1:]:
        call = layer.call(phase, 3, "float32")
        for tensor in call.tensors:
            name = tensor.name.removeprefix("d")
            if tensor not in call.work:
                assert tensor.shape == shapes.get(name, tensor.shape)
        written = [t.name for t in call.writes]
        floats = [name for name in layer.input_names if name not in layer.indices]
        expected = [*layer.borrowed, *layer.parameters] if phase == "weight_grad" else floats
        assert written[: len(expected)] == [f"d{name}" for name in expected]


@every_layer
def test_only_the_parameterless_have_no_weight_gradient(layer):
    assert hasattr(layer.module, "weight_grad") == layer.is_trained


@every_layer
def test_backward_reads_only_what_came_before_it_or_the_output_gradient(layer):
    known = {("dy", layer.tensor("dy", 3, "float32").shape)}
    for phase in phases(layer):
        call = layer.call(phase, 3, "float32")
        if phase != "forward":
            assert {(t.name, t.shape) for t in call.reads} <= known
        known |= {(t.name, t.shape) for t in (*call.reads, *call.writes)}


@every_layer
def test_kinds_that_write_in_place_keep_the_shape_and_need_no_input_afterwards(layer):
    if layer.writes_in_place:
        assert layer.in_shape == layer.out_shape
        backward = (layer.call(phase, 1, "float32") for phase in phases(layer)[1:])
        assert layer.input_names[0] not in {t.name for call in backward for t in call.reads}


@every_layer
def test_dtype_of_the_call_is_that_of_its_tensors(layer):
    call = layer.call("forward", 3, "float64")
    floats = {t.dtype for t in call.tensors if t.dtype.startswith("float")}
    assert floats == {call.dtype} == {"float64"}
    assert {t.dtype for t in call.tensors if t.name in layer.indices} <= {"int64"}


def test_a_convolution_keeps_nothing_and_works_in_what_a_tile_of_its_rows_takes():
    weights, shifted = 4 * 3 * 3 * 3, 9 * 3 * 3 * 3 * 2  # K C R S, H S C Q n
    part = {"forward": 0, "weight_grad": weights, "input_grad": 3 * 3 * 3 * 3 * 2}  # R S C Q n
    for phase in phases(LAYERS[0]):
        call = LAYERS[0].call(phase, 2, "float32")
        assert dict(call.attrs)["tile"] == 4
        assert [t.shape for t in call.work] == [(weights + shifted + part[phase],)]
    assert [t.name for t in LAYERS[0].call("forward", 2, "float32").writes] == ["y"]


def test_a_tile_of_a_large_convolution_has_as_many_rows_as_its_size_allows():
    large = layer("conv2d", (64, 56, 56), channels=32, kernel=3, pad=1)
    most = conv2d.TILE_BYTES // 4
    for phase, maps in (("forward", 64), ("input_grad", 32)):
        row = 3 * maps * 56  # shifted, of one sample
        for samples in (8, 32, 1000):
            call = large.call(phase, samples, "float32")
            rows = max(1, most // (row * samples) - 2)
            assert dict(call.attrs)["tile"] == min(56, rows)
            assert call.work[0].elements == (rows + 2) * row * samples + 64 * 32 * 9


def test_a_1x1_convolution_needs_no_columns_unless_it_skips_or_pads():
    plain, strided, padded = (
        layer("conv2d", (4, 5, 5), channels=3, kernel=1, **attrs)
        for attrs in ({}, {"stride": 2}, {"pad": 1})
    )
    for phase in phases(plain):
        assert not plain.call(phase, 2, "float32").work
        assert strided.call(phase, 2, "float32").work
        assert padded.call(phase, 2, "float32").work


@every_layer
def test_workspace_is_not_moved_and_not_kept(layer):
    for phase in phases(layer):
        call = layer.call(phase, 3, "float32")
        assert replace(call, work=()).moved_bytes == call.moved_bytes
        assert not {t.name for t in call.work} & {t.name for t in (*call.reads, *call.writes)}


def test_stride_is_part_of_the_signature_where_it_changes_the_work():
    one, two = (layer("conv2d", (1, 5, 5), channels=1, kernel=1, stride=s) for s in (1, 2))
    for phase in ("forward", "input_grad"):
        assert one.call(phase, 1, "float32").signature != two.call(phase, 1, "float32").signature


def test_padding_and_groups_are_part_of_the_signature_only_where_there_are_any():
    plain, padded, grouped = (
        layer("conv2d", (4, 5, 5), channels=4, kernel=3, **attrs)
        for attrs in ({}, {"pad": 1}, {"groups": 2})
    )
    assert plain.call("forward", 1, "float32").attrs == (("stride", 1), ("tile", 3))
    assert ("pad", 1) in padded.call("forward", 1, "float32").attrs
    assert ("groups", 2) in grouped.call("weight_grad", 1, "float32").attrs


def test_a_convolution_in_groups_does_its_share_of_the_work():
    one, four = (layer("conv2d", (8, 5, 5), channels=8, kernel=3, groups=g) for g in (1, 4))
    assert four.parameters["w"] == (8, 2, 3, 3)
    for phase in phases(one):
        assert one.call(phase, 2, "float32").flop == 4 * four.call(phase, 2, "float32").flop


def test_a_convolution_without_bias_has_none_anywhere():
    bare = layer("conv2d", (3, 5, 5), channels=4, kernel=3, bias=0)
    assert list(bare.parameters) == ["w"]
    named = {t.name for phase in phases(bare) for t in bare.call(phase, 1, "float32").tensors}
    assert named == {"x", "w", "y", "dy", "dw", "dx", "work"}


def test_a_rectangular_kernel_keeps_the_map_with_rectangular_padding():
    wide = layer("conv2d", (3, 17, 17), channels=5, kernel=1, kernel_w=7, pad=0, pad_w=3)
    assert wide.out_shape == (5, 17, 17)
    assert wide.parameters["w"] == (5, 3, 1, 7)


def test_an_attribute_that_a_convolution_has_not_is_a_fault_of_the_model():
    with pytest.raises(AssertionError, match="'padding'"):
        _ = layer("conv2d", (3, 5, 5), channels=4, kernel=3, padding=1).out_shape


@pytest.mark.parametrize(
    ("side", "attrs", "expected"),
    [
        (112, {"window": 3, "stride": 2, "pad": 1}, 56),  # ResNet
        (112, {"window": 3, "stride": 2}, 55),
        (112, {"window": 3, "stride": 2, "ceil": 1}, 56),  # GoogLeNet in Caffe
        (5, {"window": 2, "stride": 2, "pad": 1, "ceil": 1}, 3),  # the next begins in the padding
    ],
    ids=str,
)
def test_side_of_a_pooled_map(side, attrs, expected):
    assert layer("max_pool", (1, side, side), **attrs).out_shape == (1, expected, expected)


def fits(start, side, window, pad, *, ceil):
    """Whether a window that begins at ``start`` (from the padded edge) is one of the pooling's."""
    return start < side + pad if ceil else start + window <= side + 2 * pad


@given(
    side=st.integers(3, 40),
    window=st.integers(1, 3),
    stride=st.integers(1, 4),
    pad=st.integers(0, 1),
    ceil=st.integers(0, 1),
)
def test_a_pooled_side_has_one_place_for_each_window_that_fits(side, window, stride, pad, ceil):
    assume(pad <= window // 2)
    pool = layer("max_pool", (1, side, side), window=window, stride=stride, pad=pad, ceil=ceil)
    count, starts = 0, range(0, side + 2 * pad, stride)
    for start in starts:
        before_reaches_the_end = start and start - stride + window >= side + 2 * pad
        if fits(start, side, window, pad, ceil=ceil) and not before_reaches_the_end:
            count += 1
    assert pool.out_shape == (1, count, count)


def test_batch_normalisation_reads_its_input_twice():
    maps, pairs = 24 * 5 * 4, 2 * 2 * 4  # x, y; w and b, stats
    moved = layer("batch_norm", MAPS).call("forward", 5, "float32").moved_bytes
    assert moved == 3 * maps + 2 * pairs


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ForeplanError, match=r"layer kind 'softmax': unknown; .*known: add"):
        _ = layer("softmax", (3,)).out_shape


def test_maps_keep_the_channel_axis_first_and_the_batch_last():
    c1, c5 = load_model("lenet-5").layers[0], load_model("lenet-5").layers[7]
    assert c1.tensor("y", 32, "float32").shape == (6, 28, 28, 32)
    assert c5.tensor("y", 32, "float32").shape == (32, 120)


def test_tokens_are_batched_sample_by_sample():
    one = layer("linear", TOKENS, features=4)
    assert one.out_shape == (5, 4)
    assert one.parameters["w"] == (6, 4)
    assert one.tensor("y", 3, "float32").shape == (3, 5, 4)
    vector = layer("linear", (6,), features=4)
    for phase in phases(one):
        assert one.call(phase, 2, "float32").flop == vector.call(phase, 10, "float32").flop


def test_a_table_is_read_only_where_tokens_ask_for_it():
    large, small = (layer("embedding", (5,), vocab=v, features=3) for v in (1000, 4))
    rows = 2 * 5 * 3 * 4  # all tokens may differ
    assert large.call("forward", 2, "float32").moved_bytes == 2 * 5 * 8 + 2 * rows
    assert small.call("forward", 2, "float32").moved_bytes == 2 * 5 * 8 + rows + 4 * 3 * 4


def test_a_tied_table_has_its_gradient_added_to_and_not_written():
    tied, own = (layer("embedding", (5,), vocab=1000, features=3, tied=t) for t in (1, 0))
    added, written = (x.call("weight_grad", 2, "float32") for x in (tied, own))
    assert [t.name for t in added.updates] == [t.name for t in written.writes] == ["dw"]
    assert added.moved_bytes < written.moved_bytes
    assert added.signature != written.signature


def test_causal_attention_of_long_texts_skips_the_keys_that_no_query_of_a_tile_sees():
    long, short = 1024, 64
    rows = attention.TILE // long
    tiles = range(rows, long + 1, rows)
    assert attention.scores(long, 0) == long**2
    assert attention.scores(long, 1) == rows * sum(tiles) < 0.6 * long**2
    assert attention.scores(short, 1) == short**2, "one tile has all"


def test_attention_keeps_one_number_a_query_and_works_in_two_tiles():
    call = layer("attention", (512, 3 * 64), heads=4).call("forward", 8, "float32")
    assert [(t.name, t.shape) for t in call.writes[1:]] == [("stats", (8, 4, 512))]
    assert call.work[0].elements == attention.TILE
    again = layer("attention", (512, 3 * 64), heads=4).call("input_grad", 8, "float32")
    assert again.work[0].elements == 2 * attention.TILE + 512 * 16


def lstm_s(device, samples, tokens):
    """Time of the forward pass of an LSTM of 1,024 features."""
    call = layer("lstm", (tokens, 1024), features=1024).call("forward", samples, "float16")
    return CostBook(device=device, ops={}).cost(call).seconds


def test_every_token_of_an_lstm_starts_a_kernel_and_few_samples_cost_a_whole_wave():
    device = with_efficiency(load_device("v100-sxm2-16g"), "pytorch-containers")
    slow = replace(device, efficiency=replace(device.efficiency, kernel_s=1.0))
    assert lstm_s(slow, 8, 50) == pytest.approx(50, rel=0.01)
    bare = replace(device, efficiency=None, launch_overhead_s=1.0)
    assert lstm_s(bare, 8, 50) == pytest.approx(50, rel=0.01)
    one, several, many = (lstm_s(device, samples, 50) for samples in (1, 16, 2048))
    assert several < 1.2 * one
    assert many > 5 * one

"""Model graphs: known sizes, refused chains, and a hash of what a prediction depends on."""

from dataclasses import replace
from itertools import pairwise

import pytest

from hwprofiles.errors import ModelError
from planner.build import chain
from planner.layer import batched
from planner.model import Block, ModelGraph, load_model, model_names

MODELS = ["lenet-5", "mlp"]


def test_every_model_has_the_name_that_it_is_listed_by_and_a_source():
    for name in model_names():
        model = load_model(name)
        assert model.name == name
        assert model.source


@pytest.mark.parametrize(("name", "parameters"), [("lenet-5", 61_706), ("mlp", 301_066)])
def test_parameter_count_is_the_published_one_of(name, parameters):
    assert load_model(name).parameter_count == parameters


def of_layers(*layers):
    return replace(load_model("mlp"), blocks=(Block(name="", layers=layers),))


def test_parameters_of_lenet_5_by_layer():
    counts = {x.name: x.parameter_count for x in load_model("lenet-5").layers if x.parameters}
    assert counts == {
        "c1": 6 * 25 + 6,
        "c3": 16 * 6 * 25 + 16,
        "c5": 400 * 120 + 120,
        "f6": 120 * 84 + 84,
        "output": 84 * 10 + 10,
    }


def test_multiply_adds_of_lenet_5_forward():
    multiply_adds = {
        "c1": 28 * 28 * 6 * 25,
        "c3": 10 * 10 * 16 * 150,
        "c5": 400 * 120,
        "f6": 120 * 84,
        "output": 84 * 10,
    }
    elementwise = 6 * 28 * 28 * 2 + 16 * 10 * 10 * 2 + 120 + 84  # tanh and pooling of maps, tanh
    assert load_model("lenet-5").flop("forward") == 2 * sum(multiply_adds.values()) + elementwise


def test_weight_gradients_cost_what_the_matmuls_of_forward_cost():
    model = load_model("mlp")
    matmuls = 2 * (64 * 512 + 512 * 512 + 512 * 10)
    assert model.flop("weight_grad") == matmuls
    assert model.flop("forward") == matmuls + 2 * 512  # tanh


def test_the_first_layer_needs_no_input_gradient():
    assert load_model("mlp").flop("input_grad") == 2 * (512 * 512 + 512 * 10) + 3 * 2 * 512


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("phase", ["forward", "input_grad", "weight_grad"])
def test_flop_are_proportional_to_the_samples(name, phase):
    model = load_model(name)
    assert model.flop(phase, 64) == 64 * model.flop(phase)


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_takes_what_the_one_before_gives(name):
    layers = load_model(name).layers
    assert all(a.out_shape == b.in_shape for a, b in pairwise(layers))
    assert layers[-1].out_shape == (10,)


def test_a_record_is_a_label_and_a_sample():
    assert load_model("lenet-5").record_bytes == 65


def test_layers_that_do_not_meet_are_refused_by_name():
    model = load_model("mlp")
    last = replace(model.layers[4], in_shapes=((100,),), inputs=("h1_tanh",))
    message = r"model 'mlp': layer 'output' takes \(100,\) but 'h1_tanh' gives \(512,\)"
    with pytest.raises(ModelError, match=message):
        of_layers(*model.layers[:2], last)


def test_a_layer_that_reads_what_comes_later_is_refused():
    h1, *rest = load_model("mlp").layers
    message = r"layer 'h1' takes \(512,\) but 'h2_tanh' does not come before"
    with pytest.raises(ModelError, match=message):
        of_layers(replace(h1, in_shapes=((512,),), inputs=("h2_tanh",)), *rest)


def test_an_output_that_nobody_reads_is_refused():
    h1, *rest = load_model("mlp").layers
    with pytest.raises(ModelError, match="nothing reads the output of spare"):
        of_layers(h1, replace(rest[0], name="spare"), *rest)


def test_two_layers_of_one_name_are_refused():
    layers = load_model("mlp").layers
    with pytest.raises(ModelError, match="two layers are called 'h1'"):
        of_layers(*layers, layers[0])


def test_equal_blocks_in_a_row_are_stored_once_and_unrolled_by_number():
    h2, h2_tanh = (replace(x, inputs=()) for x in load_model("mlp").layers[2:4])
    pair = (replace(h2, inputs=("input",)), replace(h2_tanh, inputs=("h2",)))
    first, *_, last = load_model("mlp").layers
    blocks = (
        Block(name="", layers=(first,)),
        Block(name="wide", layers=pair, count=3),
        Block(name="", layers=(replace(last, inputs=("input",)),)),
    )
    model = replace(load_model("mlp"), blocks=blocks)
    assert [x.name for x in model.layers] == [
        "h1",
        *(f"wide.{i}.{name}" for i in range(3) for name in ("h2", "h2_tanh")),
        "output",
    ]
    assert model.producers == tuple((i,) for i in range(-1, 7))


def test_a_model_that_ends_in_no_logits_is_refused():
    with pytest.raises(ModelError, match=r"must give \(11,\) logits, got \(10,\)"):
        replace(load_model("mlp"), classes=11)


def test_an_unknown_model_is_refused_with_the_nearest():
    with pytest.raises(ModelError, match=r"model 'lenet-6': unknown; did you mean lenet-5"):
        load_model("lenet-6")


def test_maps_are_batched_in_the_last_axis_and_vectors_in_the_first():
    assert batched((3, 8, 9), 5) == (3, 8, 9, 5)
    assert batched((7,), 5) == (5, 7)


def small(**changes: object) -> ModelGraph:
    rows: list[tuple[str, str, dict[str, int]]] = [("output", "linear", {"features": 4})]
    model = ModelGraph(name="m", blocks=chain((6,), rows), record_shape=(2, 3), classes=4)
    return replace(model, **changes)


def test_the_hash_is_of_what_a_prediction_depends_on():
    base = small()
    renamed = chain((6,), [("last", "linear", {"features": 4})])
    assert small().sha256() == base.sha256()
    assert small(source="a paper").sha256() == base.sha256()
    changed = [
        small(blocks=renamed),
        small(record_shape=(3, 2)),
        small(norm_group=2),
        small(full_scale=16),
        small(blocks=chain((5,), [("output", "linear", {"features": 4})]), record_shape=(5,)),
    ]
    assert len({base.sha256(), *(model.sha256() for model in changed)}) == 1 + len(changed)


@pytest.mark.parametrize("record_shape", [(5,), (2, 4), (1, 2, 2, 3)])
def test_records_that_do_not_make_up_the_input_are_refused(record_shape):
    with pytest.raises(ModelError, match=r"records of .* do not divide its input of \(6,\)"):
        small(record_shape=record_shape)


def test_the_built_in_models_differ_in_their_hash():
    assert load_model("lenet-5").sha256() != load_model("mlp").sha256()

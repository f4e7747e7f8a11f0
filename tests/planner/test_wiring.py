"""Wiring: what writes in place, whose gradients are added, and where gradients stop."""

from hypothesis import HealthCheck, given, settings

from planner.build import BlockBuilder, Value
from planner.layer import INPUT
from planner.layer_calls import layer_calls
from planner.model import Block, ModelGraph, load_model
from planner.wiring import loss_gradient
from tests.planner_cases import branched_models, models

RANDOM = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def model_of(*rows) -> ModelGraph:
    """``(name, kind, inputs, attributes)`` on 2x4x4 maps; the last value is flattened to logits."""
    b = BlockBuilder(Value(INPUT, (2, 4, 4)))
    values = {INPUT: b.input}
    for name, kind, inputs, attrs in rows:
        values[name] = b.layer(name, kind, *(values[x] for x in inputs.split()), **attrs)
    flat = b.layer("flat", "flatten", values[rows[-1][0]])
    b.layer("out", "linear", flat, features=3)
    block = Block(name="", layers=tuple(b.layers))
    return ModelGraph(name="m", blocks=(block,), record_shape=(4, 4), classes=3)


CONV = {"channels": 2, "kernel": 3, "pad": 1}


def wired(model: ModelGraph, field: str) -> dict[str, object]:
    values = getattr(model.wiring, field)
    return dict(zip((layer.name for layer in model.layers), values, strict=True))


# In place


def test_a_relu_writes_over_the_convolution_before_it():
    outputs = wired(model_of(("c", "conv2d", INPUT, CONV), ("r", "relu", "c", {})), "outputs")
    assert outputs["r"] == outputs["c"] == "c.y"


def test_nothing_writes_over_the_input_of_the_model():
    model = model_of(("r", "relu", INPUT, {}), ("c", "conv2d", "r", CONV))
    assert wired(model, "outputs")["r"] == "r.y"


def test_a_relu_keeps_what_another_layer_reads_later():
    conv, relu, add = ("c", "conv2d", INPUT, CONV), ("r", "relu", "c", {}), ("a", "add", "r d", {})
    pool = ("d", "avg_pool", "c", {"window": 3, "stride": 1, "pad": 1})
    assert wired(model_of(conv, relu, pool, add), "outputs")["r"] == "r.y"
    assert wired(model_of(conv, pool, relu, add), "outputs")["r"] == "c.y", "means keep nothing"
    other = ("d", "conv2d", "c", CONV)
    assert wired(model_of(conv, other, relu, add), "outputs")["r"] == "r.y", "columns come again"


def test_a_relu_keeps_what_a_backward_pass_reads():
    """The gradient of tanh reads its output, the normalisation's its input."""
    after_tanh = model_of(("t", "tanh", INPUT, {}), ("r", "relu", "t", {}))
    assert wired(after_tanh, "outputs")["r"] == "r.y"
    beside_norm = model_of(
        ("c", "conv2d", INPUT, CONV),
        ("n", "batch_norm", "c", {}),
        ("r", "relu", "c", {}),
        ("a", "add", "n r", {}),
    )
    assert wired(beside_norm, "outputs")["r"] == "r.y"


def test_a_gate_writes_over_the_maps_that_were_squeezed_before():
    gate = wired(load_model("se-resnet-50"), "outputs")
    assert gate["stage1.first.gate"] == "stage1.first.conv3_norm.y"


def test_a_dropout_keeps_the_output_that_the_relu_below_needs():
    outputs = wired(load_model("vgg-16"), "outputs")
    assert outputs["classifier.fc6_relu"] == "classifier.fc6.y"
    assert outputs["classifier.fc6_dropout"] == "classifier.fc6_dropout.y"


# Gradients


def test_the_gradient_of_an_addition_is_that_of_its_inputs_without_a_copy():
    model = load_model("resnet-50")
    gradients = wired(model, "gradients")
    add = gradients["stage1.first.add"]
    assert gradients["stage1.first.conv3_norm"] == gradients["stage1.first.project_norm"] == add
    calls = layer_calls(model, 1, "float32")
    kinds = {call.kernel for x in calls for call in x.fired}
    assert "add.input_grad" not in kinds


def test_an_identity_shortcut_adds_to_the_gradient_of_the_branch():
    """The block's input is read by its first convolution and by the addition at its end."""
    model = load_model("resnet-18")
    below = "stage1.first.relu"
    branch, shortcut = "stage1.conv1.dx", wired(model, "gradients")["stage1.add"]
    assert set(wired(model, "parts")[below]) == {branch, shortcut}
    assert wired(model, "gradients")[below] == branch, "the shortcut's is shared, so it stays"


def test_gradients_that_are_all_shared_are_added_into_a_register_of_their_own():
    model = model_of(
        ("c", "conv2d", INPUT, CONV), ("twice", "add", "c c", {}), ("more", "add", "twice c", {})
    )
    assert wired(model, "gradients")["c"] == "c.dy"
    assert wired(model, "parts")["c"] == ("flat.dx",) * 3


def test_a_relu_does_not_write_over_a_shared_gradient():
    rows = [
        ("c", "conv2d", INPUT, CONV),
        ("r", "relu", "c", {}),
        ("d", "conv2d", INPUT, CONV),
        ("a", "add", "r d", {}),
    ]
    assert wired(model_of(*rows), "gradients")["c"] == "r.dx"
    assert wired(model_of(*rows[:2]), "gradients")["c"] == "flat.dx"


def test_gradients_stop_where_nothing_below_is_trained():
    """The pool of the input and its tanh learn nothing; the branch beside them does."""
    model = model_of(
        ("t", "tanh", INPUT, {}),
        ("p", "max_pool", "t", {"window": 3, "stride": 1, "pad": 1}),
        ("c", "conv2d", "t", CONV),
        ("a", "add", "p c", {}),
    )
    gradients = wired(model, "gradients")
    assert [name for name, register in gradients.items() if not register] == ["t", "p"]
    needs = dict(zip((x.name for x in model.layers), model.needs_input_grad, strict=True))
    assert [name for name, needed in needs.items() if needed] == ["flat", "out"]


@given(model=models())
@RANDOM
def test_gradients_reach_exactly_what_is_above_something_trained(model):
    wiring, layers = model.wiring, model.layers
    trained = [i for i, layer in enumerate(layers) if layer.is_trained]
    for i in range(len(layers)):
        learns = any(i == t or model.above[t] >> i & 1 for t in trained)
        assert model.trained[i] == learns
        assert bool(wiring.gradients[i]) == bool(wiring.parts[i]) == learns
        readers = [r for r, producers in enumerate(model.producers) for p in producers if p == i]
        if learns:
            assert len(wiring.parts[i]) == max(1, len(readers))
    for head, i in enumerate(model.heads):
        assert wiring.parts[i] == (loss_gradient(model, head),)


@given(model=branched_models())
@RANDOM
def test_a_shared_gradient_is_written_over_by_nobody(model):
    """Neither by a layer in place nor by a sum: another layer may still have to read it."""
    wiring = model.wiring
    shared = {
        wiring.gradients[i]
        for i, layer in enumerate(model.layers)
        if layer.passes_gradient and len(layer.inputs) > 1
    }
    for i, layer in enumerate(model.layers):
        for register in wiring.input_grads[i]:
            born = f"{layer.name}." in register
            assert born or register not in shared or register == wiring.gradients[i]
        if len(wiring.parts[i]) > 1 and wiring.gradients[i] in wiring.parts[i]:
            passed = {
                wiring.gradients[r]
                for r, producers in enumerate(model.producers)
                if i in producers and model.layers[r].passes_gradient
            }
            assert wiring.gradients[i] not in passed

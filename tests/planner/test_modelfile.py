"""Model files: the documented example, a way there and back, and errors that name the line."""

import re
from pathlib import Path

import pytest

import foreplan
from foreplan.api import read_plans
from hwprofiles.errors import ModelError, RecordError
from hwprofiles.registry import names
from planner.burden import burden
from planner.layercheck import SWITCHES, attributes
from planner.model import load_model, model_names
from planner.modelfile import read_model_file
from planner.plan import Training

PAGE = Path(__file__).parent.parent.parent / "docs" / "model-files.md"
EXAMPLE = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]
TINY = """\
name = "tiny"
input = [3, 8, 8]
classes = 4

[[layer]]
name = "conv"
kind = "conv2d"
channels = 2
kernel = 3

[[layer]]
name = "flat"
kind = "flatten"

[[layer]]
name = "output"
kind = "linear"
features = 4
"""


def read(tmp_path, text):
    path = tmp_path / "model.toml"
    path.write_text(text)
    return read_model_file(path)


def test_the_documented_example(tmp_path):
    model = read(tmp_path, EXAMPLE)
    assert model.name == "small-residual"
    assert model.norm_group == 32
    assert [x.name for x in model.layers][:6] == [
        "stem",
        "residual.0.conv",
        "residual.0.norm",
        "residual.0.sum",
        "residual.0.relu",
        "residual.1.conv",
    ]
    assert model.layers[3].inputs == ("residual.0.norm", "stem")
    assert model.layers[-3].inputs == ("residual.2.relu",)
    stem, block = 3 * 16 * 9 + 16, 16 * 16 * 9 + 2 * 16
    assert model.parameter_count == stem + 3 * block + 16 * 10 + 10


def test_the_page_lists_the_attributes_of_every_kind():
    rows = re.findall(r"^\| (`.*?) \| .*? \| (.*?)\|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    listed = {
        kind: dict.fromkeys(re.findall(r"`(\w+)`", needed), True)
        | dict.fromkeys(re.findall(r"`(\w+)`", optional), False)
        for kinds, needed, optional in rows
        for kind in re.findall(r"`(\w+)`", kinds)
    }
    assert listed == {kind: attributes(kind) for kind in listed}
    assert sorted(listed) == names("planner.layers")


SIBLINGS = re.compile(
    "densenet-(169|201)|efficientnet-(b[1-7]|v2-[ml]|widese-.*)|mobilenet-v[23]-.*"
    "|resnet-(26|34|50|101|152|200)d|resnet-(26|200)|resnext-101-32x8d|vgg-1[369]-bn|wide-.*"
    "|resnet-v2-1.*|resnext-50d-.*|se-resnet-1.*|se-resnext-101-32x8d|squeezenet-1-1"
)
"""Models that are another of the built-in ones in other widths and depths."""


def as_toml(model):
    """Write every block of a model; names of its layers get that of the block before them."""
    lines = [f'name = "{model.name}"', f"input = {list(model.input_shape)}"]
    lines += [f"classes = {model.classes}", f"record = {list(model.record_shape)}"]
    lines += [f"next_token = {str(model.next_token).lower()}"]
    blocks = []
    for i, block in enumerate(model.blocks):
        layers = {x.name: f"b{i}-{x.name}" for x in block.layers}
        for layer in block.layers:
            inputs = [layers.get(name, name) for name in layer.inputs]
            lines += ["[[layer]]", f'name = "{layers[layer.name]}"', f'kind = "{layer.kind}"']
            lines += [f"inputs = {inputs}", *(f"{k} = {_toml(k, v)}" for k, v in layer.attrs)]
            lines += [f'tied_to = "b0-{layer.tied.partition(".")[2]}"'] if layer.tied else []
        blocks += ["[[block]]", f'name = "block{i}"', f"count = {block.count}"]
        blocks += [f"layers = {list(layers.values())}"]
    return "\n".join([*lines, *blocks])


def _toml(name, value):
    return str(bool(value)).lower() if name in SWITCHES else value


TRIED = [x for x in model_names() if not (SIBLINGS.fullmatch(x) or load_model(x).other_heads)]


@pytest.mark.parametrize("name", TRIED)
def test_a_built_in_model_survives_the_way_through_a_file(name, tmp_path):
    model = load_model(name)
    found = read(tmp_path, as_toml(model))
    assert burden(found, 2) == burden(model, 2)
    work = [(x.kind, x.in_shapes, x.attrs) for x in model.layers]
    assert [(x.kind, x.in_shapes, x.attrs) for x in found.layers] == work
    assert found.producers == model.producers
    assert found.norm_group == model.norm_group
    assert found.record_bytes == model.record_bytes
    assert found.lenders == model.lenders


def test_a_table_is_lent_within_a_run_of_layers(tmp_path):
    """Neither the embedding nor what is tied to it need stand in a block."""
    heads = 'name = "lent"\ninput = [4]\nclasses = 9\nnext_token = true\n'
    words = '[[layer]]\nname = "words"\nkind = "embedding"\nvocab = 9\nfeatures = 3\ntied = true\n'
    logits = '[[layer]]\nname = "logits"\nkind = "unembedding"\nvocab = 9\ntied_to = "words"\n'
    assert read(tmp_path, heads + words + logits).lenders == {1: 0}


BLOCK = '\n[[block]]\nname = "b"\nlayers = ["flat"]\n'


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("input =", "inputs =", 2, "key of model 'inputs': unknown; did you mean input"),
        ("kernel = 3", "kernal = 3", 9, r"\(conv2d\) 'kernal': unknown; did you mean kernel"),
        ("kernel = 3\n", "", 5, "expected 'kernel', got none"),
        ("kernel = 3", "kernel = 0", 9, "kernel: expected a whole number from 1 .* got 0"),
        ("kernel = 3", "kernel = 3.0", 9, "expected a whole number .* got 3.0"),
        ("kernel = 3", "kernel = true", 9, "expected a whole number .* got True"),
        ("kernel = 3", "kernel = 9", 5, "layer 'conv': .* a window of at most 8, got 9"),
        ("kernel = 3", "kernel = 3\ngroups = 2", 5, "input channels in 2 equal groups, got 3"),
        ("kernel = 3", "kernel = 3\nstride = 0", 10, "stride: expected .* from 1"),
        ('"conv2d"', '"conv"', 7, "kind of layer 'conv': 'conv': unknown; did you mean conv2d"),
        ('"conv2d"', "2", 7, "expected a kind, got 2"),
        ('kind = "flatten"', 'kind = "relu"', 15, r"linear: expected a vector .* got \(2, 6, 6\)"),
        ('kind = "flatten"', 'kind = "gate"', 11, r"gate: expected inputs maps"),
        ('"flatten"', '"flatten"\ninputs = ["cnv"]', 14, "'cnv': unknown; did you mean conv"),
        ('"flatten"', '"flatten"\ninputs = ["output"]', 14, "'output': unknown"),
        ('"flatten"', '"flatten"\ninputs = []', 14, r"inputs: expected a list of names, got \[\]"),
        ('"flatten"', '"add"\ninputs = ["conv", "conv"]', 14, "expected inputs that differ"),
        ('"flatten"', '"flatten"\ninputs = ["input"]', 5, "expected a layer that reads it"),
        ('name = "flat"', 'name = "conv"', 12, "name: expected one that is new, got 'conv'"),
        ('name = "flat"', 'name = "input"', 12, "other than 'input'"),
        ('name = "flat"', 'name = "a b"', 12, "expected a name of letters"),
        ("classes = 4", "classes = 5", 15, r"'output': the last must give \(5,\) logits"),
        ("classes = 4", "classes = '4'", 3, "classes: expected a whole number"),
        ("[3, 8, 8]", "[3, 8]", 2, r"input: expected \[C, H, W\] or \[F\]"),
        ("[3, 8, 8]", "[3, 8, 0]", 2, "input: expected a shape"),
        ("[3, 8, 8]", "[3, 8, 8", 3, "expected TOML, got: Unclosed array"),
        ("features = 4\n", "features =", 18, "expected TOML, got: Invalid value"),
        ("features = 4\n", "features = 4\n" + BLOCK.replace("flat", "flut"), 22, "'flut': unknown"),
        ("features = 4\n", f"features = 4\n{BLOCK}count = 2", 23, "to be repeated, expected"),
        ("features = 4\n", f"features = 4\n{BLOCK}count = 0", 23, "count: expected a whole"),
        (
            "features = 4\n",
            "features = 4\n" + BLOCK.replace('"flat"', '"conv", "output"'),
            22,
            "follow one another",
        ),
        ("features = 4\n", f"features = 4\n{BLOCK}{BLOCK}", 25, "name: expected one that is new"),
    ],
)
def test_an_error_names_the_line(tmp_path, old, new, line, says):
    assert old in TINY
    with pytest.raises(ModelError, match=says) as error:
        read(tmp_path, TINY.replace(old, new, 1))
    assert "\n" not in str(error.value)
    assert re.search(r"model\.toml, line (\d+): ", str(error.value))[1] == str(line), error.value


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "model: expected 'name', got none"),
        (b"\xff", "line 1: expected text in UTF-8, got byte 0xff"),
        (b"a = " + b"[" * 100_000, "expected TOML"),
        (b"#" * 5_000_000, "expected at most"),
        (b'name = "a"\ninput = [3]\nclasses = 3\nlayer = 3', r"layer: expected \[\[layer\]\]"),
        (b'name = "a"\ninput = [3]\nclasses = 3\nlayer = []', r"expected \[\[layer\]\]"),
    ],
)
def test_what_is_no_model_file_is_refused(tmp_path, raw, says):
    path = tmp_path / "model.toml"
    path.write_bytes(raw)
    with pytest.raises(ModelError, match=says):
        read_model_file(path)


def test_a_model_of_too_many_layers_is_refused_before_it_is_unrolled(tmp_path):
    block = '\n[[block]]\nname = "b"\nlayers = ["sum"]\ncount = 10000\n'
    more = '[[layer]]\nname = "sum"\nkind = "relu"\n\n[[layer]]\nname = "flat"'
    text = TINY.replace('[[layer]]\nname = "flat"', more) + block
    with pytest.raises(ModelError, match="at most 10000 layers, got 10001"):
        read(tmp_path, text)


@pytest.mark.parametrize("name", ["a/b", "none.toml", "none.onnx", "/"])
def test_a_path_that_leads_nowhere_is_a_model_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="expected"):
        load_model(name)


def test_a_plan_of_a_file_is_read_again_until_the_model_changes(tmp_path, monkeypatch):
    from planner.records import write_record

    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    plans = foreplan.plan("tiny.toml", "v100-quad", Training(batch=64), top=1)
    assert plans.model == "tiny.toml"
    write_record(Path("plan.json"), plans)
    assert read_plans(Path("plan.json")) == plans
    Path("tiny.toml").write_text(TINY.replace("channels = 2", "channels = 3"))
    with pytest.raises(RecordError, match="has changed since"):
        read_plans(Path("plan.json"))

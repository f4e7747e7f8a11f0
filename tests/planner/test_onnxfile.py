"""ONNX files: a built-in model written as one is read back as the same work; errors say why."""

import random
import sys
from math import prod

import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

from hwprofiles.errors import BackendUnavailable, ModelError  # noqa: E402
from planner.burden import burden  # noqa: E402
from planner.model import load_model  # noqa: E402
from planner.onnxfile import read_onnx  # noqa: E402

MODELS = ["alexnet", "vgg-11", "resnet-18", "googlenet", "squeezenet", "densenet-121"]
OPSET = [helper.make_opsetid("", 17)]


class Exporter:
    """Writes a model as an ONNX file whose weights are holes in a file beside it."""

    def __init__(self, model):
        self.nodes, self.weights, self.end = [], [], 0
        for layer in model.layers:
            inputs = list(layer.inputs)
            getattr(self, layer.kind, self.plain)(layer, inputs)
        self.input = helper.make_tensor_value_info(
            "input", TensorProto.FLOAT, ["N", *model.input_shape]
        )
        self.last = model.layers[-1].name
        self.output = helper.make_tensor_value_info(
            "probabilities", TensorProto.FLOAT, ["N", model.classes]
        )

    def weight(self, layer, name, shape):
        tensor = TensorProto(name=f"{layer.name}.{name}", dims=shape, data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        size = 4 * prod(shape)
        entries = {"location": "weights.bin", "offset": self.end, "length": size}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        self.end += size
        self.weights.append(tensor)
        return tensor.name

    def node(self, op, layer, inputs, **attrs):
        self.nodes.append(helper.make_node(op, inputs, [layer.name], name=layer.name, **attrs))

    def plain(self, layer, inputs):
        ops = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "flatten": "Flatten"}
        ops |= {"add": "Add", "gate": "Mul"}
        self.node(ops[layer.kind], layer, inputs)

    def silu(self, layer, inputs):
        self.nodes.append(helper.make_node("Sigmoid", inputs, [f"{layer.name}.sigmoid"]))
        self.node("Mul", layer, [*inputs, f"{layer.name}.sigmoid"])

    def conv2d(self, layer, inputs):
        inputs += [self.weight(layer, k, v) for k, v in layer.parameters.items()]
        a = dict(layer.attrs)
        pad = [a.get("pad", 0), a.get("pad_w", a.get("pad", 0))]
        stride = a.get("stride", 1)
        more = {"strides": [stride, stride], "pads": pad * 2, "group": a.get("groups", 1)}
        self.node("Conv", layer, inputs, **more)

    def linear(self, layer, inputs):
        shapes = layer.parameters
        if layer.name.endswith("fc7"):  # one as a product and a sum
            product = f"{layer.name}.product"
            weights = self.weight(layer, "w", shapes["w"])
            self.nodes.append(helper.make_node("MatMul", [*inputs, weights], [product]))
            self.node("Add", layer, [product, self.weight(layer, "b", shapes["b"])])
            return
        inputs += [self.weight(layer, "w", shapes["w"][::-1]), self.weight(layer, "b", shapes["b"])]
        self.node("Gemm", layer, inputs, transB=1)

    def _pool(self, op, layer, inputs, **more):
        a = dict(layer.attrs)
        stride = a.get("stride") or a["window"]
        if op == "AveragePool" and layer.out_shape[1:] == (1, 1):
            self.node("GlobalAveragePool", layer, inputs)
            return
        more |= {"kernel_shape": [a["window"]] * 2, "strides": [stride] * 2}
        self.node(op, layer, inputs, pads=[a.get("pad", 0)] * 4, **more)

    def max_pool(self, layer, inputs):
        self._pool("MaxPool", layer, inputs, ceil_mode=dict(layer.attrs).get("ceil", 0))

    def avg_pool(self, layer, inputs):
        self._pool("AveragePool", layer, inputs)

    def batch_norm(self, layer, inputs):
        shapes = {**layer.parameters, **layer.moments}
        inputs += [self.weight(layer, k, v) for k, v in shapes.items()]
        self.node("BatchNormalization", layer, inputs)

    def lrn(self, layer, inputs):
        self.node("LRN", layer, inputs, size=dict(layer.attrs)["size"])

    def dropout(self, layer, inputs):
        ratio = helper.make_tensor(
            f"{layer.name}.ratio", TensorProto.FLOAT, [], [dict(layer.attrs)["percent"] / 100]
        )
        self.weights.append(ratio)
        self.node("Dropout", layer, [*inputs, ratio.name])

    def concat(self, layer, inputs):
        self.node("Concat", layer, inputs, axis=1)

    def write(self, folder):
        nodes = [*self.nodes, helper.make_node("Softmax", [self.last], ["probabilities"])]
        return written(folder, nodes, [self.input], [self.output], self.weights, self.end)


def written(folder, nodes, inputs, outputs, weights=(), size=0):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=OPSET, producer_name="a test", ir_version=8)
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    with (folder / "weights.bin").open("wb") as stream:
        stream.truncate(size)
    return path


@pytest.mark.parametrize(
    "name", [*MODELS, "efficientnet-b0", "lenet-5", "mlp", "se-resnet-50", "inception-v3"]
)
def test_a_built_in_model_survives_the_way_through_a_file(name, tmp_path):
    model = load_model(name)
    path = Exporter(model).write(tmp_path)
    onnx.checker.check_model(str(path), full_check=name == "squeezenet")
    found = read_onnx(path)
    assert found.parameter_count == model.parameter_count
    assert burden(found, 2) == burden(model, 2)
    kinds = [(x.kind, x.in_shapes, x.out_shape) for x in model.layers]
    assert [(x.kind, x.in_shapes, x.out_shape) for x in found.layers] == kinds
    assert found.norm_group == model.norm_group
    assert (found.classes, found.input_shape) == (model.classes, model.input_shape)


IN = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])
OUT = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)


def small(folder, *rows, weights=()):
    """Write a chain of ``(operator, more inputs, attributes)`` and its flattening."""
    nodes, value = [], "x"
    for i, (op, more, attrs) in enumerate((*rows, ("Flatten", [], {}))):
        last = i == len(rows)
        nodes.append(helper.make_node(op, [value, *more], ["y" if last else f"v{i}"], **attrs))
        value = f"v{i}"
    return written(folder, nodes, [IN], [OUT], weights)


def floats(name, *dims):
    return helper.make_tensor(name, TensorProto.FLOAT, dims, [0.0] * prod(dims))


POOL = ("MaxPool", [], {"kernel_shape": [2, 2]})


def test_unsupported_operators_are_listed_all_at_once(tmp_path):
    rows = [("Softplus", [], {}), POOL, ("Erf", [], {}), ("Erf", [], {}), ("Softmax", [], {})]
    with pytest.raises(ModelError, match=r"; got Erf \(2\), Softmax \(1\), Softplus \(1\)$"):
        read_onnx(small(tmp_path, *rows))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("Conv", ["w"], {"dilations": [2, 2]}), "Conv 'v0': expected no dilation"),
        (("Conv", ["w"], {"strides": [1, 2]}), "one stride, got"),
        (("Conv", ["w"], {"pads": [0, 0, 1, 1]}), "the same padding on both sides"),
        (("Conv", ["w"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}), "the same padding"),
        (("MaxPool", [], {"kernel_shape": [2, 3]}), "a square window"),
        (("Mul", ["w1"], {}), "factors .* got a constant"),
        (("Add", ["w1"], {}), "one with a constant"),
        (("MatMul", ["w8"], {}), "a bias added"),
        (("LRN", [], {"size": 0}), "size: expected a whole number from 1"),
        (("Transpose", [], {"perm": [0, 2, 3, 1]}), r"got Transpose \(1\)"),
    ],
)
def test_what_no_layer_kind_does_is_refused(tmp_path, row, says):
    weights = [floats("w", 2, 3, 3, 3), floats("w1", 1), floats("w8", 8, 8)]
    with pytest.raises(ModelError, match=says) as error:
        read_onnx(small(tmp_path, row, weights=weights))
    assert "\n" not in str(error.value)


def test_same_padding_and_a_computed_shape_and_a_fixed_batch_are_read(tmp_path):
    fixed = helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, 3, 8, 8])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], auto_pad="SAME_UPPER"),
        helper.make_node("Identity", ["c"], ["d"]),
        helper.make_node("Shape", ["d"], ["s"], start=0, end=1),
        helper.make_node("Concat", ["s", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["d", "shape"], ["y"]),
    ]
    rest = helper.make_tensor("rest", TensorProto.INT64, [1], [-1])
    for given in (IN, fixed):
        model = read_onnx(written(tmp_path, nodes, [given], [OUT], [floats("w", 2, 3, 3, 3), rest]))
        assert [x.kind for x in model.layers] == ["conv2d", "flatten"]
        assert (model.input_shape, model.classes) == ((3, 8, 8), 128)


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "/etc/hostname", "a/../../w.bin", "link/w.bin", "C:\\w", "..\\w", "a\0"],
)
def test_external_data_outside_the_folder_is_refused(tmp_path, location):
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    tensor = TensorProto(name="w", dims=[2, 3, 3, 3], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = small(folder, ("Conv", ["w"], {}), weights=[floats("w", 2, 3, 3, 3)])
    proto = onnx.load(str(path))
    proto.graph.initializer[0].CopyFrom(tensor)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="expected external data inside the file's folder"):
        read_onnx(path)


def test_external_data_need_not_be_there(tmp_path):
    path = Exporter(load_model("lenet-5")).write(tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert read_onnx(path).parameter_count == 61_706


def test_a_truncated_or_empty_file_is_refused(tmp_path):
    path = Exporter(load_model("lenet-5")).write(tmp_path)
    raw = path.read_bytes()
    for cut in (0, 1, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:cut])
        with pytest.raises(ModelError, match=r"model\.onnx: expected an ONNX file") as error:
            read_onnx(path)
        assert "\n" not in str(error.value)


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    path = small(tmp_path, ("Conv", ["w"], {}), weights=[floats("w", 2, 4, 3, 3)])
    with pytest.raises(ModelError, match="expected") as error:
        read_onnx(path)
    assert "\n" not in str(error.value)


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'foreplan\[onnx\]'"):
        load_model(str(tmp_path / "model.onnx"))


def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path):
    path = Exporter(load_model("lenet-5")).write(tmp_path)
    raw, rng, said = path.read_bytes(), random.Random(0), []
    for _ in range(400):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_onnx(path)
        except ModelError as error:
            said.append(str(error))
    assert said
    assert not any("\n" in text for text in said)

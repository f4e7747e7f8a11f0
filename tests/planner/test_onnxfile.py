"""ONNX files: a built-in model written as one is read back as the same work; errors say why."""

import sys
from collections.abc import Iterator
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


@pytest.mark.parametrize("name", [*MODELS, "lenet-5", "mlp", "se-resnet-50", "inception-v3"])
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

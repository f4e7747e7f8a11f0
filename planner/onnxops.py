"""The operators of ONNX files that have a layer kind, one function each."""

from math import prod

from planner.layer import Shape
from planner.onnxgraph import Node, OnnxReader, Operator

ELEMENTWISE = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def _conv(reader: OnnxReader, node: Node) -> None:
    weights = reader.dims(node, 1)
    channels = reader.inputs(node)[0][1][0]
    groups = reader.attrs(node).get("group", 1)
    if len(weights) != 4 or groups < 1 or weights[1] * groups != channels:
        expected = f"weights (K, {channels} / groups, R, S)"
        raise reader.error(node, expected, f"{weights} in {groups} groups")
    maps, _, rows, columns = weights
    stride, pad, pad_w, _ = reader.window(node, (rows, columns))
    attrs = {"channels": maps, "kernel": rows, "stride": stride, "pad": pad, "groups": groups}
    attrs |= {"kernel_w": columns} if columns != rows else {}
    attrs |= {"pad_w": pad_w} if pad_w != pad else {}
    attrs |= {} if reader.dims(node, 2) else {"bias": 0}
    reader.append(node, "conv2d", **attrs)


def _pool(reader: OnnxReader, node: Node) -> None:
    attrs = reader.attrs(node)
    kernel = list(attrs.get("kernel_shape", []))
    stride, pad, pad_w, more = reader.window(node, kernel)
    if kernel[0] != kernel[1] or pad != pad_w:
        raise reader.error(node, "a square window", kernel)
    found = {"window": kernel[0], "stride": stride, "pad": pad}
    if node.op_type == "MaxPool" and (more or attrs.get("ceil_mode", 0)):
        found["ceil"] = 1
    reader.append(node, "max_pool" if node.op_type == "MaxPool" else "avg_pool", **found)


def _global_pool(reader: OnnxReader, node: Node) -> None:
    shape = reader.inputs(node)[0][1]
    if len(shape) != 3 or shape[1] != shape[2]:
        raise reader.error(node, "square maps", shape)
    reader.append(node, "avg_pool", window=shape[1])


def _gemm(reader: OnnxReader, node: Node) -> None:
    attrs, weights = reader.attrs(node), reader.dims(node, 1)
    if len(weights) != 2 or attrs.get("transA", 0):
        raise reader.error(node, "a product of data with a matrix of weights", weights)
    ins, outs = weights[::-1] if attrs.get("transB", 0) else weights
    _linear(reader, node, ins, outs, reader.dims(node, 2))


def _linear(reader: OnnxReader, node: Node, ins: int, outs: int, bias: Shape) -> None:
    (shape,) = (shape for _, shape in reader.inputs(node))
    if shape != (ins,):
        raise reader.error(node, f"vectors of {ins} features", shape)
    if prod(bias) != outs:
        raise reader.error(node, f"a bias of {outs} features", bias or "none")
    reader.append(node, "linear", features=outs)


def _add(reader: OnnxReader, node: Node) -> None:
    product = next((x for x in node.input if x in reader.products), None)
    other = [x for x in node.input if x != product]
    if product is not None:
        weights = reader.dims(made := reader.products.pop(product), 1)
        if len(other) != 1 or other[0] not in reader.constants or len(weights) != 2:
            raise reader.error(made, "a matrix of weights and a bias", weights)
        reader.values[product] = reader.values[made.input[0]]
        _linear(reader, node, *weights, tuple(reader.constants[other[0]].dims))
        return
    if len(reader.inputs(node)) != len(node.input):
        raise reader.error(node, "a sum of outputs of layers", "one with a constant")
    reader.append(node, "add")


def _concat(reader: OnnxReader, node: Node) -> None:
    inputs = reader.inputs(node)
    axis = reader.attrs(node).get("axis", 1)
    if len(inputs) != len(node.input) or axis not in (1, -len(inputs[0][1])):
        raise reader.error(node, "outputs of layers, joined along the channels", f"axis {axis}")
    if len(inputs) == 1:
        reader.values[node.output[0]] = inputs[0]
    else:
        reader.append(node, "concat")


def _gate(reader: OnnxReader, node: Node) -> None:
    inputs = reader.inputs(node)
    if len(inputs) != 2 or len(node.input) != 2:
        raise reader.error(node, "maps (C, H, W) and factors (C, 1, 1)", "a constant")
    if _is_silu(reader, inputs):
        gated = reader.layers.pop()
        node.input[:] = [x for x in node.input if reader.values[x][0] != gated.name]
        reader.append(node, "silu")
        return
    if prod(inputs[0][1]) < prod(inputs[1][1]):
        node.input[:] = node.input[::-1]
    reader.append(node, "gate")


def _is_silu(reader: OnnxReader, inputs: list[tuple[str, Shape]]) -> bool:
    """Whether a product is of x and its sigmoid, which is how SiLU is exported."""
    last = reader.layers[-1]
    names = sorted(name for name, _ in inputs)
    return last.kind == "sigmoid" and names == sorted((last.name, *last.inputs))


def _flatten(reader: OnnxReader, node: Node) -> None:
    (given,) = reader.inputs(node)
    flat = reader.shapes.get(node.output[0], ())
    if len(flat) != 2 or flat[1] not in (prod(given[1]), None):
        shown = tuple("?" if x is None else x for x in flat)
        raise reader.error(node, f"one vector of {prod(given[1])} a sample", shown)
    if len(given[1]) == 1:
        reader.values[node.output[0]] = given
    else:
        reader.append(node, "flatten")


def _dropout(reader: OnnxReader, node: Node) -> None:
    ratio = reader.attrs(node).get("ratio", 0.5)
    if len(node.input) > 1:
        ratio = reader.scalar(node.input[1], ratio)
    if not 0 <= ratio < 1:
        raise reader.error(node, "a ratio from 0 to below 1", ratio)
    reader.append(node, "dropout", percent=min(99, round(100 * ratio)))


def _norm(reader: OnnxReader, node: Node) -> None:
    shape = reader.inputs(node)[0][1]
    for at in range(1, 5):
        if reader.dims(node, at) != shape[:1]:
            raise reader.error(node, f"parameters of {shape[0]} channels", reader.dims(node, at))
    reader.append(node, "batch_norm")


def _lrn(reader: OnnxReader, node: Node) -> None:
    reader.append(node, "lrn", size=reader.attrs(node).get("size", 0))


def _elementwise(reader: OnnxReader, node: Node) -> None:
    reader.append(node, ELEMENTWISE[node.op_type])


OPERATORS: dict[str, Operator] = {
    "Add": _add,
    "AveragePool": _pool,
    "BatchNormalization": _norm,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "LRN": _lrn,
    "MaxPool": _pool,
    "Mul": _gate,
    "Relu": _elementwise,
    "Reshape": _flatten,
    "Sigmoid": _elementwise,
    "Sum": _add,
    "Tanh": _elementwise,
}

"""Models from ONNX files, by the shape inference of the ``onnx`` package.

Structure and shapes are read, weights are not: files without their values will do. What does not
change the work is not read either: epsilons, the coefficients of a response normalisation, whether
a mean counts its padding.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hwprofiles.errors import BackendUnavailable, ModelError
from planner.layer import INPUT, Layer, Shape
from planner.layercheck import MOST_LAYERS, MOST_SIDE, attribute_problem, shape_problem
from planner.model import Block, ModelGraph
from planner.modelfile import norm_group

KEPT_ELEMENTS = 4096
"""Constants up to this size keep their values: shapes and ratios; larger ones are weights."""
DATA_INPUTS = {"Concat": None, "Add": None, "Sum": None, "Mul": None}
"""By operator: how many inputs are data and not parameters; None: all. The others have one."""
ELEMENTWISE = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
ENDS = ("Softmax", "LogSoftmax")
"""Dropped where they are the last: a model ends in logits."""
UNSEEN = ("Softmax", "LogSoftmax", "MatMul", "Identity", "Constant")
"""Operators that are known and have no reader of their own."""

ATTRIBUTE_TYPES = {"i": "INT", "ints": "INTS", "f": "FLOAT", "s": "STRING"}
ATTRIBUTE_FIELDS = (
    dict.fromkeys(("axis", "ceil_mode", "group", "size", "transA", "transB"), "i")
    | dict.fromkeys(("dilations", "kernel_shape", "pads", "strides"), "ints")
    | {"auto_pad": "s", "ratio": "f"}
)
"""By attribute that is read: the field that holds it, and with it the type."""

Node = Any
"""A ``NodeProto``; its type is known only where onnx is installed."""


def read_onnx(path: Path) -> ModelGraph:
    """Read an ONNX file; no code in it runs and no weight is needed.

    Raises
    ------
    BackendUnavailable
        When the onnx package is not installed.
    ModelError
        When the file cannot be read, or has something that no layer kind does.
    """
    try:
        import onnx
    except ImportError as error:
        raise BackendUnavailable(
            f"{path}: expected the onnx package, which reads this file, got none; install it with"
            " pip install 'foreplan[onnx]'"
        ) from error
    proto = _loaded(onnx, path)
    _refuse_outside(path, proto)
    graph = proto.graph
    constants = _constants(onnx, graph)
    data = [x for x in graph.input if x.name not in constants]
    if len(data) != 1 or len(graph.output) != 1:
        raise ModelError(
            f"{path}: expected one input and one output, got {len(data)} and {len(graph.output)};"
            " export without auxiliary outputs"
        )
    try:
        shapes = _inferred(onnx, proto, data[0])
    except Exception as error:  # what a wrong graph raises here is not specified
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: expected shapes that follow from the input's, got: {why}") from (
            error
        )
    reader = _Reader(path, onnx, constants, shapes)
    layers = reader.read(graph, data[0].name, graph.output[0].name)
    last = layers[-1].out_shape
    if len(last) != 1:
        raise ModelError(f"{path}: expected to end in one vector of logits, got {last}")
    try:
        return ModelGraph(
            name=path.stem,
            blocks=(Block(name="", layers=layers),),
            record_shape=layers[0].in_shape,
            classes=last[0],
            norm_group=norm_group(layers),
            source=f"{path.name}, ONNX of {_plain(proto.producer_name) or 'an unnamed producer'}",
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _plain(text: str | bytes) -> str:
    """Return a name as one can print it; one that is not UTF-8 comes as bytes."""
    text = text if isinstance(text, str) else text.decode(errors="replace")
    return re.sub(r"[^\w./:-]+", "_", text, flags=re.ASCII)[:120]


def _loaded(onnx: Any, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise ModelError(
            f"{path}: expected an ONNX file, got {error.strerror}; check the path"
        ) from error
    except DecodeError as error:
        raise ModelError(
            f"{path}: expected an ONNX file, got one cut short or of another kind"
        ) from (error)
    if not proto.graph.node:
        raise ModelError(f"{path}: expected an ONNX file with a graph, got none")
    return proto


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every tensor of a graph and of the graphs within."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _tensors(inner)


def _refuse_outside(path: Path, proto: Any) -> None:
    """Refuse a file whose external data would be looked for outside its folder."""
    folder = path.parent.resolve()
    for tensor in _tensors(proto.graph):
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            if _is_outside(folder, entry.value):
                raise ModelError(
                    f"{path}: tensor {_plain(tensor.name)!r}: expected external data inside the"
                    f" file's folder, got {entry.value[:200]!r}"
                )


def _is_outside(folder: Path, location: str) -> bool:
    try:
        parts = (PurePosixPath(location), PureWindowsPath(location))
        if any(x.is_absolute() or x.drive or ".." in x.parts for x in parts):
            return True
        return not (folder / location).resolve().is_relative_to(folder)
    except (OSError, RuntimeError, TypeError, ValueError):
        return True  # a loop of links, not UTF-8, a zero byte


def _constants(onnx: Any, graph: Any) -> dict[str, Any]:
    """By name: tensors that the file holds; the values of large ones are dropped."""
    found = {x.name: x for x in graph.initializer}
    for node in graph.node:
        values = [x.t for x in node.attribute if x.name == "value" and x.HasField("t")]
        if node.op_type == "Constant" and values:
            found[node.output[0]] = values[0]
        elif node.op_type == "Identity" and node.input and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    for tensor in found.values():
        if prod(tensor.dims) > KEPT_ELEMENTS:
            for name in ("raw_data", "float_data", "double_data", "int32_data", "int64_data"):
                tensor.ClearField(name)
    return found


def _inferred(onnx: Any, proto: Any, data: Any) -> dict[str, tuple[int | None, ...]]:
    """Shapes of all values; a batch without a size is one sample."""
    dims = data.type.tensor_type.shape.dim
    if len(dims) in (2, 4) and not dims[0].dim_value:
        dims[0].dim_value = 1
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    done = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    return {
        x.name: tuple(
            d.dim_value if d.HasField("dim_value") else None for d in x.type.tensor_type.shape.dim
        )
        for x in (*done.input, *done.value_info, *done.output)
    }


@dataclass(slots=True)
class _Reader:
    """The layers of a graph so far."""

    path: Path
    onnx: Any
    constants: dict[str, Any]
    shapes: dict[str, tuple[int | None, ...]]
    values: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    """By ONNX name: layer that gives it and shape per sample."""
    layers: list[Layer] = field(default_factory=list)
    products: dict[str, Node] = field(default_factory=dict)
    """By ONNX name: a product with weights that waits for its bias."""
    names: set[str] = field(default_factory=lambda: {INPUT})

    def read(self, graph: Any, first: str, last: str) -> tuple[Layer, ...]:
        """Return the layers from the input to the output."""
        nodes = self._needed(graph, last)
        if nodes and nodes[-1].op_type in ENDS and nodes[-1].output[0] == last:
            nodes.pop()
        if not nodes:
            raise ModelError(f"{self.path}: expected layers between input and output, got none")
        self._refuse_unknown(nodes)
        shape = self.shapes[first]
        sides = [x for x in shape[1:] if x and x <= MOST_SIDE]
        if len(shape) not in (2, 4) or len(sides) != len(shape) - 1:
            shown = tuple("?" if x is None else x for x in shape)
            raise ModelError(
                f"{self.path}: input {_plain(first)!r}: expected (N, C, H, W) or (N, F) of known"
                f" sizes, got {shown}"
            )
        self.values[first] = (INPUT, tuple(sides))
        for node in nodes:
            self._take(node)
        if self.products:
            node = next(iter(self.products.values()))
            raise self.error(node, "a bias added to the product", "none")
        if not self.layers:
            raise ModelError(f"{self.path}: expected layers between input and output, got none")
        return tuple(self.layers)

    def _needed(self, graph: Any, last: str) -> list[Node]:
        """Nodes that the output depends on by data, in order: not those that compute shapes."""
        wanted, found = {last}, list[Node]()
        for node in reversed(graph.node):
            if wanted.isdisjoint(node.output) or node.output[0] in self.constants:
                continue
            found.append(node)
            wanted.update(name for name in self._data(node))
        if len(found) > MOST_LAYERS:
            raise ModelError(
                f"{self.path}: expected at most {MOST_LAYERS} operators, got {len(found)}"
            )
        return found[::-1]

    def _data(self, node: Node) -> list[str]:
        known = node.op_type in READERS or node.op_type in UNSEEN
        names = [name for name in node.input if name and name not in self.constants]
        if known and node.op_type not in DATA_INPUTS:
            return names[:1] if node.op_type != "MatMul" else names
        return names

    def _refuse_unknown(self, nodes: Sequence[Node]) -> None:
        unknown = Counter(
            _plain(x.op_type if x.domain in ("", "ai.onnx") else f"{x.domain}.{x.op_type}")
            for x in nodes
            if x.domain not in ("", "ai.onnx")
            or x.op_type in ENDS
            or (x.op_type not in READERS and x.op_type not in UNSEEN)
        )
        if unknown:
            listed = ", ".join(f"{name} ({n})" for name, n in sorted(unknown.items()))
            known = ", ".join(sorted({*READERS, "Identity", "MatMul"}))
            raise ModelError(
                f"{self.path}: expected operators of {known}, and Softmax at the end; got {listed}"
            )

    def error(self, node: Node, expected: str, got: object) -> ModelError:
        """Return the error at a node."""
        name = _plain(node.name or node.output[0])
        return ModelError(f"{self.path}: {node.op_type} {name!r}: expected {expected}, got {got}")

    def _take(self, node: Node) -> None:
        if node.op_type == "MatMul":
            data = self._inputs(node)
            if len(node.input) != 2 or node.input[1] not in self.constants or not data:
                raise self.error(node, "a product of data with weights", "another one")
            self.products[node.output[0]] = node
        elif node.op_type == "Identity":
            self.values[node.output[0]] = self._inputs(node)[0]
        else:
            READERS[node.op_type](self, node)

    def _inputs(self, node: Node) -> list[tuple[str, Shape]]:
        found = []
        for name in self._data(node):
            if name in self.products:
                raise self.error(self.products[name], "a bias added to the product", "none")
            if name not in self.values:
                raise self.error(node, "inputs that come before it", repr(_plain(name)))
            found.append(self.values[name])
        return found

    def dims(self, node: Node, at: int) -> Shape:
        """Shape of a parameter; empty when it is not there."""
        if len(node.input) <= at or not node.input[at]:
            return ()
        if node.input[at] not in self.constants:
            raise self.error(node, "parameters that the file holds", repr(_plain(node.input[at])))
        return tuple(self.constants[node.input[at]].dims)

    def attrs(self, node: Node) -> dict[str, Any]:
        """Attributes that are read, by name, of the types that they must have."""
        found = {}
        for x in node.attribute:
            if x.name not in ATTRIBUTE_FIELDS:
                continue
            kind = ATTRIBUTE_FIELDS[x.name]
            if x.type != getattr(self.onnx.AttributeProto, ATTRIBUTE_TYPES[kind]):
                raise self.error(node, f"{x.name} of type {ATTRIBUTE_TYPES[kind]}", "another")
            found[x.name] = getattr(x, kind)
        return found

    def scalar(self, name: str, default: float) -> float:
        """Value of a constant; ``default`` where the file does not hold it."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.external_data or prod(tensor.dims) != 1:
            return default
        try:
            return float(self.onnx.numpy_helper.to_array(tensor).reshape(()))
        except (TypeError, ValueError):
            return default

    def append(self, node: Node, kind: str, /, **attrs: int) -> None:
        """Append the layer of a node, and hold its shape against the inferred one."""
        inputs = self._inputs(node)
        if len({name for name, _ in inputs}) < len(inputs):
            raise self.error(node, "inputs that differ", repr(inputs[0][0]) + " twice")
        shapes = tuple(shape for _, shape in inputs)
        problems = [attribute_problem(k, v) for k, v in attrs.items()]
        problem = next((p for p in problems if p), "") or shape_problem(kind, shapes, attrs)
        if problem:
            name = _plain(node.name or node.output[0])
            raise ModelError(f"{self.path}: {node.op_type} {name!r}: {problem}")
        layer = Layer(
            name=self._new_name(node),
            kind=kind,
            in_shapes=shapes,
            attrs=tuple(sorted(attrs.items())),
            inputs=tuple(name for name, _ in inputs),
        )
        inferred = self.shapes.get(node.output[0], ())[1:]
        if len(inferred) == len(layer.out_shape) and any(
            a is not None and a != b for a, b in zip(inferred, layer.out_shape, strict=True)
        ):
            raise self.error(node, f"an output of shape {layer.out_shape}", inferred)
        self.layers.append(layer)
        self.values[node.output[0]] = (layer.name, layer.out_shape)

    def _new_name(self, node: Node) -> str:
        base = _plain(node.name or node.output[0])
        name, n = base, 1
        while name in self.names:
            n += 1
            name = f"{base}_{n}"
        self.names.add(name)
        return name

    def window(self, node: Node, kernel: Sequence[int]) -> tuple[int, int, int, int]:
        """Return stride, pads of rows and of columns, and whether the far edge has one more."""
        attrs = self.attrs(node)
        strides, dilations = attrs.get("strides", [1, 1]), attrs.get("dilations", [1, 1])
        if len(kernel) != 2 or len(strides) != 2 or strides[0] != strides[1] or min(strides) < 1:
            raise self.error(node, "a window of two sides and one stride", list(strides))
        if set(dilations) != {1}:
            raise self.error(node, "no dilation", list(dilations))
        pads = list(attrs.get("pads", [0, 0, 0, 0]))
        auto = attrs.get("auto_pad", b"NOTSET").decode(errors="replace")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            sides = self._inputs(node)[0][1][1:]
            steps = zip(sides, kernel, strict=False)
            whole = [max((-(-s // strides[0]) - 1) * strides[0] + k - s, 0) for s, k in steps]
            near = [x // 2 for x in whole]
            pads = [*near, *(x - y for x, y in zip(whole, near, strict=True))]
        more = {b - a for a, b in zip(pads[:2], pads[2:], strict=False)}
        if len(pads) != 4 or more not in ({0}, {1}) or (more == {1} and node.op_type != "MaxPool"):
            raise self.error(node, "the same padding on both sides", pads)
        return strides[0], pads[0], pads[1], more.pop()


def _conv(reader: _Reader, node: Node) -> None:
    weights = reader.dims(node, 1)
    channels = reader._inputs(node)[0][1][0]
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


def _pool(reader: _Reader, node: Node) -> None:
    attrs = reader.attrs(node)
    kernel = list(attrs.get("kernel_shape", []))
    stride, pad, pad_w, more = reader.window(node, kernel)
    if kernel[0] != kernel[1] or pad != pad_w:
        raise reader.error(node, "a square window", kernel)
    found = {"window": kernel[0], "stride": stride, "pad": pad}
    if node.op_type == "MaxPool" and (more or attrs.get("ceil_mode", 0)):
        found["ceil"] = 1
    reader.append(node, "max_pool" if node.op_type == "MaxPool" else "avg_pool", **found)


def _global_pool(reader: _Reader, node: Node) -> None:
    shape = reader._inputs(node)[0][1]
    if len(shape) != 3 or shape[1] != shape[2]:
        raise reader.error(node, "square maps", shape)
    reader.append(node, "avg_pool", window=shape[1])


def _gemm(reader: _Reader, node: Node) -> None:
    attrs, weights = reader.attrs(node), reader.dims(node, 1)
    if len(weights) != 2 or attrs.get("transA", 0):
        raise reader.error(node, "a product of data with a matrix of weights", weights)
    ins, outs = weights[::-1] if attrs.get("transB", 0) else weights
    _linear(reader, node, ins, outs, reader.dims(node, 2))


def _linear(reader: _Reader, node: Node, ins: int, outs: int, bias: Shape) -> None:
    (shape,) = (shape for _, shape in reader._inputs(node))
    if shape != (ins,):
        raise reader.error(node, f"vectors of {ins} features", shape)
    if prod(bias) != outs:
        raise reader.error(node, f"a bias of {outs} features", bias or "none")
    reader.append(node, "linear", features=outs)


def _add(reader: _Reader, node: Node) -> None:
    product = next((x for x in node.input if x in reader.products), None)
    other = [x for x in node.input if x != product]
    if product is not None:
        weights = reader.dims(made := reader.products.pop(product), 1)
        if len(other) != 1 or other[0] not in reader.constants or len(weights) != 2:
            raise reader.error(made, "a matrix of weights and a bias", weights)
        reader.values[product] = reader.values[made.input[0]]
        _linear(reader, node, *weights, tuple(reader.constants[other[0]].dims))
        return
    if len(reader._inputs(node)) != len(node.input):
        raise reader.error(node, "a sum of outputs of layers", "one with a constant")
    reader.append(node, "add")


def _concat(reader: _Reader, node: Node) -> None:
    inputs = reader._inputs(node)
    axis = reader.attrs(node).get("axis", 1)
    if len(inputs) != len(node.input) or axis not in (1, -len(inputs[0][1])):
        raise reader.error(node, "outputs of layers, joined along the channels", f"axis {axis}")
    if len(inputs) == 1:
        reader.values[node.output[0]] = inputs[0]
    else:
        reader.append(node, "concat")


def _gate(reader: _Reader, node: Node) -> None:
    inputs = reader._inputs(node)
    if len(inputs) != 2 or len(node.input) != 2:
        raise reader.error(node, "maps (C, H, W) and factors (C, 1, 1)", "a constant")
    if prod(inputs[0][1]) < prod(inputs[1][1]):
        node.input[:] = node.input[::-1]
    reader.append(node, "gate")


def _flatten(reader: _Reader, node: Node) -> None:
    (given,) = reader._inputs(node)
    flat = reader.shapes.get(node.output[0], ())
    if len(flat) != 2 or flat[1] not in (prod(given[1]), None):
        shown = tuple("?" if x is None else x for x in flat)
        raise reader.error(node, f"one vector of {prod(given[1])} a sample", shown)
    if len(given[1]) == 1:
        reader.values[node.output[0]] = given
    else:
        reader.append(node, "flatten")


def _dropout(reader: _Reader, node: Node) -> None:
    ratio = reader.attrs(node).get("ratio", 0.5)
    if len(node.input) > 1:
        ratio = reader.scalar(node.input[1], ratio)
    if not 0 <= ratio < 1:
        raise reader.error(node, "a ratio from 0 to below 1", ratio)
    reader.append(node, "dropout", percent=min(99, round(100 * ratio)))


def _norm(reader: _Reader, node: Node) -> None:
    shape = reader._inputs(node)[0][1]
    for at in range(1, 5):
        if reader.dims(node, at) != shape[:1]:
            raise reader.error(node, f"parameters of {shape[0]} channels", reader.dims(node, at))
    reader.append(node, "batch_norm")


def _lrn(reader: _Reader, node: Node) -> None:
    reader.append(node, "lrn", size=reader.attrs(node).get("size", 0))


def _elementwise(reader: _Reader, node: Node) -> None:
    reader.append(node, ELEMENTWISE[node.op_type])


READERS: dict[str, Callable[[_Reader, Node], None]] = {
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

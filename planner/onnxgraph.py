"""The layers of an ONNX graph, node by node."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from hwprofiles.errors import ModelError
from planner.layer import INPUT, Layer, Shape
from planner.layercheck import MOST_LAYERS, MOST_SIDE, attribute_problem, shape_problem

DATA_INPUTS = {"Concat": None, "Add": None, "Sum": None, "Mul": None}
"""By operator: how many inputs are data and not parameters; None: all. The others have one."""
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


Operator = Callable[["OnnxReader", Node], None]


def plain(text: str | bytes) -> str:
    """Return a name as one can print it; one that is not UTF-8 comes as bytes."""
    text = text if isinstance(text, str) else text.decode(errors="replace")
    return re.sub(r"[^\w./:-]+", "_", text, flags=re.ASCII)[:120]


@dataclass(slots=True)
class OnnxReader:
    """The layers of a graph so far."""

    path: Path
    onnx: Any
    constants: dict[str, Any]
    shapes: dict[str, tuple[int | None, ...]]
    operators: Mapping[str, "Operator"]
    """By type: what appends the layer of a node."""
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
                f"{self.path}: input {plain(first)!r}: expected (N, C, H, W) or (N, F) of known"
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
        known = node.op_type in self.operators or node.op_type in UNSEEN
        names = [name for name in node.input if name and name not in self.constants]
        if known and node.op_type not in DATA_INPUTS:
            return names[:1] if node.op_type != "MatMul" else names
        return names

    def _refuse_unknown(self, nodes: Sequence[Node]) -> None:
        unknown = Counter(
            plain(x.op_type if x.domain in ("", "ai.onnx") else f"{x.domain}.{x.op_type}")
            for x in nodes
            if x.domain not in ("", "ai.onnx")
            or x.op_type in ENDS
            or (x.op_type not in self.operators and x.op_type not in UNSEEN)
        )
        if unknown:
            listed = ", ".join(f"{name} ({n})" for name, n in sorted(unknown.items()))
            known = ", ".join(sorted({*self.operators, "Identity", "MatMul"}))
            raise ModelError(
                f"{self.path}: expected operators of {known}, and Softmax at the end; got {listed}"
            )

    def error(self, node: Node, expected: str, got: object) -> ModelError:
        """Return the error at a node."""
        name = plain(node.name or node.output[0])
        return ModelError(f"{self.path}: {node.op_type} {name!r}: expected {expected}, got {got}")

    def _take(self, node: Node) -> None:
        if node.op_type == "MatMul":
            data = self.inputs(node)
            if len(node.input) != 2 or node.input[1] not in self.constants or not data:
                raise self.error(node, "a product of data with weights", "another one")
            self.products[node.output[0]] = node
        elif node.op_type == "Identity":
            self.values[node.output[0]] = self.inputs(node)[0]
        else:
            self.operators[node.op_type](self, node)

    def inputs(self, node: Node) -> list[tuple[str, Shape]]:
        """Return the layers that give the data of a node, with their shapes, in order."""
        found = []
        for name in self._data(node):
            if name in self.products:
                raise self.error(self.products[name], "a bias added to the product", "none")
            if name not in self.values:
                raise self.error(node, "inputs that come before it", repr(plain(name)))
            found.append(self.values[name])
        return found

    def dims(self, node: Node, at: int) -> Shape:
        """Shape of a parameter; empty when it is not there."""
        if len(node.input) <= at or not node.input[at]:
            return ()
        if node.input[at] not in self.constants:
            raise self.error(node, "parameters that the file holds", repr(plain(node.input[at])))
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
        inputs = self.inputs(node)
        if len({name for name, _ in inputs}) < len(inputs):
            raise self.error(node, "inputs that differ", repr(inputs[0][0]) + " twice")
        shapes = tuple(shape for _, shape in inputs)
        problems = [attribute_problem(k, v) for k, v in attrs.items()]
        problem = next((p for p in problems if p), "") or shape_problem(kind, shapes, attrs)
        if problem:
            name = plain(node.name or node.output[0])
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
        base = plain(node.name or node.output[0])
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
            sides = self.inputs(node)[0][1][1:]
            steps = zip(sides, kernel, strict=False)
            whole = [max((-(-s // strides[0]) - 1) * strides[0] + k - s, 0) for s, k in steps]
            near = [x // 2 for x in whole]
            pads = [*near, *(x - y for x, y in zip(whole, near, strict=True))]
        more = {b - a for a, b in zip(pads[:2], pads[2:], strict=False)}
        if len(pads) != 4 or more not in ({0}, {1}) or (more == {1} and node.op_type != "MaxPool"):
            raise self.error(node, "the same padding on both sides", pads)
        return strides[0], pads[0], pads[1], more.pop()

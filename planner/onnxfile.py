"""Models from ONNX files, by the shape inference of the ``onnx`` package.

Structure and shapes are read, weights are not: files without their values will do. What does not
change the work is not read either: epsilons, the coefficients of a response normalisation, whether
a mean counts its padding.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hwprofiles.errors import BackendUnavailable, ModelError
from planner.model import Block, ModelGraph
from planner.modelfile import norm_group
from planner.onnxgraph import OnnxReader, plain
from planner.onnxops import OPERATORS

KEPT_ELEMENTS = 4096
"""Constants up to this size keep their values: shapes and ratios; larger ones are weights."""


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
    reader = OnnxReader(path, onnx, constants, shapes, OPERATORS)
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
            source=f"{path.name}, ONNX of {plain(proto.producer_name) or 'an unnamed producer'}",
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


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
                    f"{path}: tensor {plain(tensor.name)!r}: expected external data inside the"
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

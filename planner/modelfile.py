"""Models from files: TOML of layers; ``docs/model-files.md`` says what may stand in one."""

from collections.abc import Iterable
from dataclasses import replace
from math import lcm
from pathlib import Path

from hwprofiles.errors import ModelError
from planner.blockrow import BlockRow
from planner.layer import NORM_GROUP, Layer
from planner.layercheck import (
    MOST_SIDE,
)
from planner.model import ModelGraph
from planner.modeltext import ModelText, text_of

TOP = {"name": True, "input": True, "classes": True, "layer": True} | dict.fromkeys(
    ("source", "record", "full_scale", "next_token", "block"), False
)
"""Keys; true: it must be given."""


def load_file(name: str) -> ModelGraph:
    """Return the model of a file; it is called by its path as given, so that plans find it again.

    Raises
    ------
    ModelError
        When the file cannot be read or describes no model that can be planned.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        from planner.onnxfile import read_onnx

        return replace(read_onnx(path), name=name)
    if path.suffix == ".toml":
        return replace(read_model_file(path), name=name)
    raise ModelError(f"{name}: expected a model file that ends in .toml or .onnx, got {path.name}")


def read_model_file(path: Path) -> ModelGraph:
    """Read a TOML file of layers.

    Raises
    ------
    ModelError
        Naming file and line, what was expected and what is there.
    """
    file = ModelText(path, text_of(path))
    data = file.data()
    file.check_keys("model", data, TOP)
    name = file.name_of("model", data)
    input_shape = file.shape(data, "input")
    classes = file.number(data, "classes", most=MOST_SIDE)
    source = data.get("source", path.name)
    if not isinstance(source, str) or not source.isprintable():
        raise file.error("source: expected a line of text", source, key="source")
    layers, blocks = file.tables(data, "layer"), file.tables(data, "block")
    if not layers:
        raise file.error("layer: expected [[layer]] tables", "none", key="layer")
    row = BlockRow(file, layers, blocks, input_shape).read()
    if row[-1].out_shape[-1:] != (classes,) or len(row[-1].out_shape) > 2:
        raise file.error(
            f"layer {layers[-1]['name']!r}: the last must give ({classes},) logits",
            row[-1].out_shape,
            ("layer", len(layers) - 1),
        )
    try:
        return ModelGraph(
            name=name,
            blocks=tuple(row),
            record_shape=file.shape(data, "record") if "record" in data else input_shape,
            full_scale=file.number(data, "full_scale", most=255) if "full_scale" in data else 255,
            classes=classes,
            next_token=file.switch(data, "next_token"),
            norm_group=norm_group(x for block in row for x in block.layers),
            source=source,
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def norm_group(layers: Iterable[Layer]) -> int:
    """Return the samples that a microbatch must be a multiple of."""
    groups = (dict(x.attrs).get("group", NORM_GROUP) for x in layers if x.kind == "batch_norm")
    return lcm(*groups)

"""A network at another size of image: the same layers, over maps of other sides."""

from dataclasses import replace

from hwprofiles.errors import ModelError
from planner.layer import INPUT, MODEL_INPUT, Layer, Shape
from planner.model import Block, ModelGraph


def resized(model: ModelGraph, side: int) -> ModelGraph:
    """Return ``model`` for square images of ``side``; parameters stay as they are.

    A mean over whole maps stays one over whole maps, whatever their side.

    Raises
    ------
    ModelError
        When its records are no images of its input's size, its layers do not fit on images of this
        side, or a layer would have other parameters, as a linear one that reads all of a map.
    """
    channels, *sides = model.input_shape if len(model.input_shape) == 3 else (0,)
    if not channels or model.record_shape != model.input_shape:
        raise ModelError(
            f"model {model.name!r}: only a network whose records are images of its own size has"
            " another; leave the size out"
        )
    shape: Shape = (channels, side, side)
    blocks = []
    for block in model.blocks:
        layers = _layers(model, block, shape)
        blocks.append(replace(block, layers=layers))
        shape = layers[-1].out_shape
    found = replace(model, blocks=tuple(blocks), record_shape=(channels, side, side))
    changed = [
        old.name
        for old, new in zip(model.layers, found.layers, strict=True)
        if dict(old.parameters) != dict(new.parameters)
    ]
    if changed:
        raise ModelError(
            f"model {model.name!r}: layer {changed[0]!r} reads maps of one size, those of images of"
            f" {sides[0]}; images of {side} would need other parameters"
        )
    return found


def _layers(model: ModelGraph, block: Block, shape: Shape) -> tuple[Layer, ...]:
    """Return the layers of a block that takes ``shape``."""
    shapes = {INPUT: shape, MODEL_INPUT: shape}
    found = []
    for layer in block.layers:
        in_shapes = tuple(shapes[name] for name in layer.inputs)
        attrs = dict(layer.attrs)
        if layer.kind == "avg_pool" and attrs["window"] == layer.in_shapes[0][-1]:
            attrs["window"] = in_shapes[0][-1]
        new = replace(layer, in_shapes=in_shapes, attrs=tuple(sorted(attrs.items())))
        if len(new.out_shape) == 3 and min(new.out_shape[1:]) < 1:
            raise ModelError(f"model {model.name!r}: layer {layer.name!r} has no room on its maps")
        shapes[layer.name] = new.out_shape
        found.append(new)
    return tuple(found)

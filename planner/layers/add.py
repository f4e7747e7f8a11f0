"""Elementwise sum of inputs of one shape; the gradient of each of them is that of the output."""

from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(*in_shapes: Shape) -> Shape:
    """Return the shape that all inputs have."""
    (shape,) = set(in_shapes)
    return shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x0 + x1 + ...``; one FLOP an element and a plus sign."""
    flop = (len(layer.inputs) - 1) * layer.elements("y", samples)
    arguments = f"{' '.join(layer.input_names)} -> y"
    return layer.op("forward", samples, dtype, arguments, flop=flop)

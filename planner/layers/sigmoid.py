"""Logistic function, elementwise."""

from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = 1 / (1 + exp(-x))``, counted as three FLOP an element."""
    flop = 3 * layer.elements("y", samples)
    return layer.op("forward", samples, dtype, "x -> y", flop=flop)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy y (1 - y)``, three FLOP an element."""
    flop = 3 * layer.elements("y", samples)
    return layer.op("input_grad", samples, dtype, "y dy -> dx", flop=flop)

"""Rectifier, elementwise. Source: Nair and Hinton, ICML 2010."""

from planner.layer import Layer, Shape
from planner.opcall import OpCall

IN_PLACE = True


def out_shape(in_shape: Shape) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = max(x, 0)``, one FLOP an element."""
    return layer.op("forward", samples, dtype, "x -> y", flop=layer.elements("y", samples))


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy`` where ``y > 0``, else 0; one FLOP an element."""
    flop = layer.elements("y", samples)
    return layer.op("input_grad", samples, dtype, "y dy -> dx", flop=flop)

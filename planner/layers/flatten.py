"""Maps ``(C, H, W, n)`` to vectors ``(n, C H W)``: a copy, since the batch axis moves."""

from math import prod

from planner.layer import Layer, Shape
from planner.opcall import OpCall

OP_CLASS = "flatten"


def out_shape(in_shape: Shape) -> Shape:
    """Return ``(C H W,)``."""
    return (prod(in_shape),)


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y[n, (c, h, w)] = x[c, h, w, n]``."""
    return layer.op("forward", samples, dtype, "x -> y", flop=0)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx[c, h, w, n] = dy[n, (c, h, w)]``."""
    return layer.op("input_grad", samples, dtype, "dy -> dx", flop=0)

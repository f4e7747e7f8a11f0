"""A learned vector for each position, added: ``y[s] = x[s] + w[s]``.

The gradient of the input is that of the output. The table may have more positions than a sample has
tokens; the rows of those have no gradient.
"""

from planner.layer import Layer, Shape
from planner.opcall import OpCall

IN_PLACE = True
DEVIATION = 0.02
"""Of first values, as of the embedding of tokens."""


def out_shape(in_shape: Shape, *, positions: int) -> Shape:
    """Return the shape of the input."""
    return in_shape


def parameters(in_shape: Shape, *, positions: int) -> dict[str, Shape]:
    """One row a position."""
    return {"w": (positions, in_shape[1])}


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x + w``, one FLOP an element."""
    return layer.op("forward", samples, dtype, "x w -> y", flop=layer.elements("y", samples))


def weight_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dw`` = sum of ``dy`` over the samples, one FLOP an element."""
    return layer.op("weight_grad", samples, dtype, "dy -> dw", flop=layer.elements("y", samples))

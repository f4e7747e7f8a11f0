"""Gaussian error linear unit in its tanh form, elementwise, as BERT and GPT-2 compute it.

Source: Hendrycks and Gimpel, arXiv:1606.08415, 2016, section 2.
"""

from planner.layer import Layer, Shape
from planner.opcall import PIECE, OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x (1 + tanh(u)) / 2`` with ``u = sqrt(2 / pi) (x + 0.044715 x^3)``; eight FLOP."""
    elements = layer.elements("y", samples)
    room = {"work": (min(PIECE, elements),)}
    return layer.op("forward", samples, dtype, "x -> y ~ work", flop=8 * elements, others=room)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy (1 + t + x (1 - t^2) u') / 2`` with ``t = tanh(u)``; fifteen FLOP."""
    elements = layer.elements("y", samples)
    flop, room = 15 * elements, {"work": (2 * min(PIECE, elements),)}
    return layer.op("input_grad", samples, dtype, "x dy -> dx ~ work", flop=flop, others=room)

"""Sigmoid-weighted linear unit (SiLU, swish), elementwise.

Sources: Elfwing, Uchibe and Doya, Neural Networks 107 (2018); Ramachandran, Zoph and Le,
arXiv:1710.05941 (2017).
"""

from planner.layer import Layer, Shape
from planner.opcall import PIECE, OpCall


def out_shape(in_shape: Shape) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x / (1 + exp(-x))``, counted as four FLOP an element."""
    flop = 4 * layer.elements("y", samples)
    return layer.op("forward", samples, dtype, "x -> y", flop=flop)


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy s (1 + x (1 - s))`` with ``s = 1 / (1 + exp(-x))``, eight FLOP an element."""
    elements = layer.elements("y", samples)
    flop, room = 8 * elements, {"work": (min(PIECE, elements),)}
    return layer.op("input_grad", samples, dtype, "x dy -> dx ~ work", flop=flop, others=room)

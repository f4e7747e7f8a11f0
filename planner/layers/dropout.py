"""Dropout. Source: Srivastava et al., J. Machine Learning Research 15 (2014).

The mask is a function of seed, step, layer, sample and element, so it is drawn again in the
backward pass and not kept. ASSUMES: drawing costs less than the memory traffic of the op.
"""

from planner.layer import Layer, Shape
from planner.opcall import OpCall

IN_PLACE = True


def out_shape(in_shape: Shape, *, percent: int = 50) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x / (1 - percent / 100)`` where the mask keeps it, else 0; two FLOP an element."""
    return _call(layer, samples, dtype, "forward", "x -> y")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx`` from ``dy`` as ``y`` from ``x``; two FLOP an element."""
    return _call(layer, samples, dtype, "input_grad", "dy -> dx")


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    flop = 2 * layer.elements("y", samples)
    return layer.op(phase, samples, dtype, arguments, flop=flop, attrs=layer.attrs)

"""Local response normalisation across ``size`` neighbouring channels.

Source: Krizhevsky, Sutskever and Hinton, NeurIPS 2012, section 3.3.
"""

from math import prod

from planner.layer import Layer, Shape
from planner.opcall import OpCall


def out_shape(in_shape: Shape, *, size: int = 5) -> Shape:
    """Return the shape of the input."""
    return in_shape


def forward(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``y = x s^-0.75``, ``s = k + alpha`` sum of ``size`` squares, kept: ``size + 4`` FLOP."""
    return _call(layer, samples, dtype, "forward", "x -> y scale")


def input_grad(layer: Layer, samples: int, dtype: str) -> OpCall:
    """``dx = dy s^-0.75 - c x`` sum of ``size`` terms ``dy y / s``: ``size + 6`` FLOP."""
    return _call(layer, samples, dtype, "input_grad", "x y scale dy -> dx ~ work")


def _call(layer: Layer, samples: int, dtype: str, phase: str, arguments: str) -> OpCall:
    per_element = dict(layer.attrs).get("size", 5) + (4 if phase == "forward" else 6)
    whole = layer.tensor("y", samples, dtype).shape
    return layer.op(
        phase,
        samples,
        dtype,
        arguments,
        flop=per_element * layer.elements("y", samples),
        attrs=layer.attrs,
        others={"scale": whole, "work": (prod(whole),)},
    )
